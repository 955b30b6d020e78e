"""Timeouts and cancellations at every wait: nothing is lost, and the frames stay whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import Cancelled, Event, Server, Thread, http, listen, move_on_after, newthread, sleep, timeout
from socket2.http import Fragment, WebSocket, WebSocketClosed
from tests.garbage import left_by
from tests.interop.peers import run, swallowing

from ...handclock import SetClock
from ..client.scripted import Steps, in_thread
from ..client.scripted import serving as serving_scripts
from .scene import BINARY, CLOSE, PING, PONG, TEXT, Raw, closing, deaf, echo, frame, raw_server, serving, silent, url

SHORT = 0.01
BIG = 20 << 20  # more than sockets take


def cancelled(thread: Thread[Any]) -> Steps:
    """Cancel a thread that waits, and return the error that it ends with."""
    yield from sleep(0)
    assert not thread.done
    thread.cancel()
    with pytest.raises(Cancelled) as caught:
        yield from thread.join()
    return caught.value


@in_thread
def test_opening_can_be_given_up_at_each_wait() -> Steps:
    def halting(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(b"HTTP/1.1 101 Switching")
        assert not (yield from peer.lines.recvall())

    with swallowing() as port:
        yield from cancelled(newthread(http.websocket(f"ws://127.0.0.1:{port}/")))
    with serving_scripts(halting) as server:
        where = server.url.replace("http", "ws")
        yield from cancelled(newthread(http.websocket(where)))
        with pytest.raises(http.RequestTimeout):
            yield from http.websocket(where, timeouts=http.Timeouts(read=SHORT))


@pytest.mark.parametrize("read", ["recv", "recv_fragment"])
@in_thread
def test_a_receive_can_be_given_up_behind_each_byte(read: str) -> Steps:
    """Of two messages in fragments, with control frames among them, that come byte by byte."""
    data = frame(0x01, "é".encode()[:1], mask=False) + frame(PING, b"1", mask=False)
    data += frame(0x80, "é".encode()[1:], mask=False) + frame(BINARY, bytes(200), mask=False)

    def script(raw: Raw) -> Steps:
        for byte in data:
            yield from raw.lines.sendall(bytes([byte]))
            yield from asked.wait()
            asked.clear()
        answered.append((yield from raw.recv()))
        yield from raw.recv()

    asked = Event()
    answered: list[Any] = []
    found: list[Any] = []
    with raw_server(script) as address:
        ws = yield from http.websocket(address, compress=False)
        while len(found) < (2 if read == "recv" else 3):
            thread = newthread(getattr(ws, read))
            for _ in range(4):
                yield from sleep(0)
            if not thread.done:
                thread.cancel()
            try:
                found.append((yield from thread.join()))
            except Cancelled:
                pass
            asked.set()
        while not answered:
            yield from sleep(0)
        ws.abort()
    assert answered == [(PONG, b"1")]
    if read == "recv":
        assert found == ["é", bytes(200)]
    else:
        assert found == [Fragment("", False), Fragment("é", True), Fragment(bytes(200), True)]


@in_thread
def test_a_timeout_of_a_receive_takes_nothing() -> Steps:
    def script(raw: Raw) -> Steps:
        yield from raw.send((0x01, b"a"))
        yield from go_on.wait()
        yield from raw.send((0x80, b"b"))
        yield from raw.recv()

    go_on = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        for _ in range(2):
            with pytest.raises(TimeoutError), timeout(SHORT):
                yield from ws.recv()
        go_on.set()
        assert (yield from ws.recv()) == "ab"
        ws.abort()


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("compress", [False, True])
@in_thread
def test_a_send_that_is_given_up_leaves_whole_frames(how: str, compress: bool) -> Steps:
    """It has begun, so it goes on. Later messages come behind it."""
    data = os.urandom(BIG // 8)

    def answering(request: http.Request) -> Steps:
        ws = yield from request.websocket(max_bytes=None, compress=compress)
        yield from go_on.wait()
        while (message := (yield from ws.recv())) is not None:
            received.append(message)

    go_on = Event()
    received: list[Any] = []
    with serving(answering) as server:
        ws = yield from http.websocket(url(server))
        getattr(ws._conn, "sock", ws._conn).setopt("sndbuf", 1 << 16)
        if how == "cancel":
            sending: Thread[None] = newthread(ws.send, data)
            error: Any = yield from cancelled(sending)
        else:
            with pytest.raises(TimeoutError) as caught, timeout(SHORT):
                yield from ws.send(data)
            error = caught.value
        assert error.bytes_sent == len(data)
        waiting = newthread(ws.send, "given up before it began")
        error = yield from cancelled(waiting)
        assert error.bytes_sent == 0
        go_on.set()
        yield from ws.send("behind " * 20)
        yield from ws.close()
    assert received == [data, "behind " * 20]


@in_thread
def test_what_is_left_of_a_send_goes_out_by_itself() -> Steps:
    def answering(request: http.Request) -> Steps:
        ws = yield from request.websocket(max_bytes=None)
        yield from go_on.wait()
        received.append((yield from ws.recv()))
        yield from ws.send("thanks")

    go_on = Event()
    received: list[Any] = []
    with serving(answering) as server:
        ws = yield from http.websocket(url(server), compress=False)
        with pytest.raises(TimeoutError), timeout(SHORT):
            yield from ws.send(bytes(BIG))
        go_on.set()
        assert (yield from ws.recv()) == "thanks"
        assert (yield from ws.recv()) is None
    assert received == [bytes(BIG)]


@pytest.mark.parametrize("script", [deaf, silent])
@in_thread
def test_a_close_that_is_given_up(clock: SetClock, script: Callable[[Raw], Steps]) -> Steps:
    """Nothing can be sent any more, and in time the connection is closed."""
    with raw_server(script) as address:
        ws = yield from http.websocket(address, compress=False, close_s=SHORT)
        if script is deaf:
            yield from cancelled(newthread(ws.send, bytes(BIG)))
        yield from cancelled(newthread(ws.close))
        assert not ws.closed
        with pytest.raises(WebSocketClosed):
            yield from ws.send("a")
        clock.time_s += 2 * SHORT
        with pytest.raises(WebSocketClosed, match="has not closed in time"):
            yield from ws.recv()
        assert ws.closed


@in_thread
def test_a_ping_that_is_given_up() -> Steps:
    with raw_server(silent) as address, raw_server(deaf) as other:
        ws = yield from http.websocket(address)
        yield from cancelled(newthread(ws.ping, b"a"))
        assert not ws._pings
        ws.abort()
        ws = yield from http.websocket(other, compress=False)
        with pytest.raises(TimeoutError), timeout(SHORT):
            yield from ws.send(bytes(BIG))
        yield from cancelled(newthread(ws.ping, b"a"))
        assert not ws._pings
        ws.abort()


@in_thread
def test_the_end_of_a_close_can_be_given_up(clock: SetClock) -> Steps:
    """The Close frames are exchanged, but the peer does not close the connection."""

    def script(raw: Raw) -> Steps:
        yield from raw.send((CLOSE, closing(1000)))
        yield from raw.recv()
        reached.set()
        yield from deaf(raw)

    reached = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, close_s=SHORT)
        thread = newthread(ws.recv)
        yield from reached.wait()
        yield from cancelled(thread)
        assert ws.close_code == 1000
        clock.time_s += 2 * SHORT
        assert (yield from ws.recv()) is None
        assert ws.closed


@in_thread
def test_a_handler_that_is_cancelled() -> Steps:
    """No thread, timer or descriptor stays."""

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket()
        reached.set()
        yield from ws.recv()

    reached = Event()
    with serving(handler) as server:
        ws = yield from http.websocket(url(server))
        yield from reached.wait()
        assert (yield from server.stop(0.0)) == 1
        try:
            assert (yield from ws.recv()) is None
        except WebSocketClosed as error:
            assert error.code == 1006


@in_thread
def test_a_thread_that_is_dropped_in_a_block() -> Steps:
    with raw_server(silent) as address:
        ws = yield from http.websocket(address)

        def inside() -> Steps:
            with ws:
                yield from ws.recv()

        steps = inside()
        next(steps)
        steps.close()
        assert ws.closed
        assert ws.close_code == 1006


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_for_the_collector(fails: bool) -> None:
    async def whole() -> None:
        server = Server(http.handler(echo))
        server.add(listen("127.0.0.1:0"))
        ws = await http.websocket(url(server))
        await ws.send("a" * 100)
        assert await ws.recv() == "a" * 100
        await ws.ping()
        with move_on_after(0):
            await ws.recv()
        if fails:
            ws.abort()
            with pytest.raises(WebSocketClosed):
                await ws.recv()
        await ws.close()
        await server.stop()

    assert not left_by(lambda: run(whole))


@pytest.mark.parametrize("answers", [(TEXT, b"x"), (CLOSE, closing(1000))])
@in_thread
def test_a_deadline_in_the_past(answers: tuple[int, bytes]) -> Steps:
    """A loop over receives that never wait can be interrupted."""

    def script(raw: Raw) -> Steps:
        yield from raw.send(*[(TEXT, b"x")] * 1000)
        yield from raw.recv()

    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        n = 0
        with move_on_after(0):
            while True:
                yield from ws.recv()
                n += 1
        assert n < 1000
        for _ in range(1000 - n):
            assert (yield from ws.recv()) == "x"
        ws.abort()


@in_thread
def test_the_watch_does_not_hold_what_is_dropped() -> Steps:
    with raw_server(silent) as address:
        ws: WebSocket | None = yield from http.websocket(address)
        assert ws is not None
        conn = ws._conn
        watch = ws._watcher
        ws = None
        assert watch._wire() is None
        conn.close()
        watch.disarm()
