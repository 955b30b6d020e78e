"""WebSockets in a loop of several OS threads."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import gather, http, newthread, threadset

from .scene import url

MEMBERS, CLIENTS, ROUNDS = 3, 6, 40


def run_together(main: Any) -> None:
    """Run a thread in a loop of several OS threads, and raise its error."""
    ended: list[BaseException | None] = []

    def noted() -> Generator[Any, None, None]:
        try:
            yield from main()
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    newthread(noted)
    socket2.serve_threads(MEMBERS)
    error = ended.pop()
    if error is not None:
        raise error


@pytest.mark.parametrize("compress", [False, True])
def test_each_message_comes_back_whole_and_in_order(compress: bool) -> None:
    """While both sides send at the same time, with pings in both directions."""
    served_by: set[int] = set()

    def echo(request: http.Request) -> Any:
        ws = yield from request.websocket(compress=compress)
        while (message := (yield from ws.recv())) is not None:
            served_by.add(threading.get_ident())
            yield from ws.send(message)

    def send(ws: http.WebSocket, number: int) -> Any:
        for n in range(ROUNDS):
            yield from ws.send(f"{number} {n} " + "x" * (n * 97 % 4000))
            if n % 8 == 0:
                yield from ws.ping()

    def receive(ws: http.WebSocket, number: int) -> Any:
        for n in range(ROUNDS):
            assert (yield from ws.recv()) == f"{number} {n} " + "x" * (n * 97 % 4000)

    def client(server: socket2.Server, number: int) -> Any:
        ws = yield from http.websocket(url(server), compress=compress)
        yield from gather(send(ws, number), receive(ws, number))
        yield from ws.close()
        assert ws.close_code == 1000

    def main() -> Any:
        server = socket2.Server(http.handler(echo))
        server.add(socket2.listen("127.0.0.1:0"))
        with threadset() as ts:
            for number in range(CLIENTS):
                ts.newthread(client, server, number)
            yield from ts.join()
        assert (yield from server.stop(10)) == 0

    run_together(main)
    assert served_by


def test_a_stop_while_all_of_them_send() -> None:
    """Nobody hangs, and each client learns of the stop."""
    codes: list[int | None] = []

    def flood(request: http.Request) -> Any:
        ws = yield from request.websocket()
        try:
            while True:
                yield from ws.send("tick")
                yield from socket2.sleep(0)
        except http.WebSocketClosed:
            pass

    def client(server: socket2.Server, begun: socket2.Event) -> Any:
        ws = yield from http.websocket(url(server))
        while (yield from ws.recv()) is not None:
            begun.set()
        codes.append(ws.close_code)

    def main() -> Any:
        server = socket2.Server(http.handler(flood))
        server.add(socket2.listen("127.0.0.1:0"))
        with threadset() as ts:
            for _ in range(CLIENTS):
                begun = socket2.Event()
                ts.newthread(client, server, begun)
                yield from begun.wait()
            assert (yield from server.stop(10)) == 0
            yield from ts.join()

    run_together(main)
    assert codes == [1001] * CLIENTS
