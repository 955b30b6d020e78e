"""ASGI applications that need asyncio, in its loop beside ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import socket2
from socket2 import http

from ...interop.peers import run
from ..scene import ask, connect
from ..smuggled import CHUNKS, chunked, post
from ..test_server import GET, OK
from .test_asgi import START, Scope, body, hello, read
from .test_lifespan import App
from .test_wsgi import HELLO

Client = Callable[[socket2.Server], Coroutine[Any, Any, Any]]


def serve(app: Any, client: Client, *, grace_s: float = 5, **options: Any) -> Any:
    """Run `client(server)` while a server runs, with its lifespan. Return its result."""
    found: list[Any] = []

    async def ready(server: socket2.Server) -> None:
        try:
            found.append(await client(server))
        finally:
            await server.stop(grace_s)

    async def main() -> None:
        answer = http.handler(http.asgi(app, asyncio=True, **options))
        await socket2.serve(answer, "127.0.0.1", 0, ready=ready, grace_s=grace_s)

    run(main)
    return found.pop()


def answers(app: Any, *requests: bytes, **options: Any) -> bytes:
    async def client(server: socket2.Server) -> bytes:
        return await ask(server, b"".join(requests or (GET,)))

    found: bytes = serve(app, client, **options)
    return found


async def busy(scope: Scope, receive: Any, send: Any) -> None:
    """Use what only a loop of asyncio offers."""
    assert scope["type"] == "http"
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        first, second = await asyncio.gather(asyncio.to_thread(str, "hel"), asyncio.create_task(asyncio.sleep(0, "lo")))
    data = await read(receive)
    await send(START)
    await send(body(data or f"{first}{second}".encode()))


def test_requests_and_bodies() -> None:
    data = [GET, post(b"Content-Length: 5\r\n", b"hello"), chunked(CHUNKS), GET]
    assert answers(busy, *data) == HELLO * 4


def test_a_large_body() -> None:
    async def count(scope: Scope, receive: Any, send: Any) -> None:
        data = await read(receive)
        await send(START)
        await send(body(b"%d" % len(data)))

    found = answers(count, post(b"Content-Length: 1000000\r\n", bytes(1000000)), lifespan="off")
    assert found.endswith(b"1000000")


def test_pieces_are_sent_as_they_come() -> None:
    async def count(scope: Scope, receive: Any, send: Any) -> None:
        await send(START)
        for piece in (b"a", b"b"):
            await send(body(piece, True))
            await asyncio.sleep(0)
        await send(body())

    assert answers(count, lifespan="off").endswith(b"chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def test_what_a_cancelled_receive_would_have_got_comes_later() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        received: list[Any] = []
        for _ in range(3):
            task = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            if not task.cancel():  # it was quicker
                received.append(task.result())

        async def go_on() -> Any:
            return received.pop(0) if received else await receive()

        await busy(scope, go_on, send)

    assert answers(app, chunked(CHUNKS), GET) == HELLO * 2


def test_a_task_that_waits_for_the_client_to_leave() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await read(receive)
        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await hello(scope, receive, send)
        seen.append(await task)

    assert answers(app, GET, GET, lifespan="off") == HELLO * 2
    assert seen == [{"type": "http.disconnect"}] * 2


@pytest.mark.parametrize("kind", [ValueError, SystemExit, asyncio.CancelledError])
def test_applications_that_fail(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        raise kind("secret")

    found = answers(app, GET, GET, lifespan="off")
    assert found.count(b"HTTP/1.1 500 ") == 2
    assert b"secret" not in found
    assert kind.__name__ in caplog.text


@pytest.mark.parametrize("messages", [[], [START], [{"type": "nonsense"}]])
def test_answers_that_cannot_be(messages: Any) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    assert answers(app, lifespan="off").startswith(b"HTTP/1.1 500 ")


def test_a_body_that_is_too_large_is_a_disconnect() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(OSError, match="the client has gone"):
            await send(START)
            await send(body())

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, chunked(b"x\r\n"), end=False)

    assert serve(app, client, lifespan="off").startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    async def endless(scope: Scope, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(body(bytes(100_000), True))
        finally:
            ended.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            await stream.recvuntil(b"\r\n\r\n")
        await socket2.call_in_thread(ended.wait, 10)

    serve(endless, client, lifespan="off")
    assert ended.is_set()
    assert "Traceback" not in caplog.text


def test_a_request_that_is_cut_off_is_cancelled() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            await socket2.call_in_thread(begun.wait, 10)
            await server.stop(0)

    serve(app, client, lifespan="off")
    assert ended.wait(10)


def test_lifespan() -> None:
    app = App()
    assert answers(app, lifespan="on") == HELLO
    assert app.seen == ["startup", "request {'one': 1}", "shutdown", "end"]
    with pytest.raises(http.LifespanError, match="no database"):
        answers(App({"type": "lifespan.startup.failed", "message": "no database"}))


def test_the_loop_runs_from_the_startup_on(caplog: pytest.LogCaptureFixture) -> None:
    hosted = http.asgi(hello, asyncio=True, lifespan="off")

    async def main() -> None:
        server = socket2.Server(http.handler(hosted))
        await server.listen("127.0.0.1", 0)
        assert (await ask(server, GET)).startswith(b"HTTP/1.1 500 ")
        assert hosted.lifespan is not None
        await hosted.lifespan.startup()
        with pytest.raises(RuntimeError, match="has started already"):
            await hosted.lifespan.startup()
        assert (await ask(server, GET)).startswith(OK)
        await server.stop()
        await hosted.lifespan.shutdown(1)

    run(main)
    assert "call startup() of the handler's lifespan first" in caplog.text
