"""How a WebSocket ends. The peer sends frames as bytes."""

from __future__ import annotations

import logging
import pickle
import socket
from typing import Any

import pytest

import socket2
from socket2 import http, newthread, sleep
from socket2.http import WebSocket, WebSocketClosed

from ..client.scripted import Steps, in_thread
from .scene import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Raw,
    closing,
    echo,
    kept,
    raw_client,
    raw_server,
    served,
    serving,
    silent,
    url,
)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(TEXT, b"\xff")], 1007),
        ([(0x83, b"")], 1002),
        ([(0x80, b"")], 1002),
        ([(BINARY, bytes(101))], 1009),
        ([(0x02, bytes(60)), (0x80, bytes(60))], 1009),
        ([(CLOSE, closing(1005))], 1002),
    ],
)
@in_thread
def test_a_peer_that_breaks_the_rules(frames: list[tuple[int, bytes]], code: int) -> Steps:
    done: list[Any] = []
    with serving(kept(done, max_bytes=100)) as server, raw_client(server) as connect:
        raw = yield from connect()
        yield from raw.send((TEXT, b"first"), *frames, (TEXT, b"later"))
        yield from raw.expect_close(code)
    while len(done) < 2:
        yield from sleep(0)
    assert done[0] == "first"
    assert done[1][0] == code
    assert not done[1][2]


@pytest.mark.parametrize(
    ("payload", "answer", "seen"),
    [
        (closing(1000, "bye"), 1000, [None, (1000, "bye")]),
        (closing(1001), 1001, [None, (1001, "")]),
        (b"", None, [None, (1005, "")]),
        (closing(1011, "é"), 1011, [(1011, "é", True)]),
        (closing(4000), 4000, [(4000, "", True)]),
    ],
)
@in_thread
def test_a_peer_that_closes(payload: bytes, answer: int | None, seen: list[Any]) -> Steps:
    done: list[Any] = []
    with serving(kept(done)) as server, raw_client(server) as connect:
        raw = yield from connect()
        yield from raw.send((CLOSE, payload), (TEXT, b"later"))
        yield from raw.expect_close(answer)
        raw.lines.close()
    while not done or done == [None]:
        yield from sleep(0)
    assert done == seen


@pytest.mark.parametrize("how", ["end", "reset", "within a frame"])
@in_thread
def test_a_peer_that_leaves(how: str) -> Steps:
    done: list[Any] = []
    with serving(kept(done)) as server, raw_client(server) as connect:
        raw = yield from connect()
        if how == "within a frame":
            yield from raw.lines.sendall(b"\x81\x85mask")
        if how == "reset":
            raw.lines.sock.setopt("linger", 0)
        raw.lines.close()
        while not done:
            yield from sleep(0)
    assert done[0][0] == 1006
    assert not done[0][2]


@in_thread
def test_our_close_waits_for_the_peers() -> Steps:
    def script(raw: Raw) -> Steps:
        assert (yield from raw.recv()) == (CLOSE, closing(4000, "enough"))
        yield from raw.send((TEXT, b"dropped"), (PING, b"not answered"), (CLOSE, closing(4000)))
        raw.lines.sock.shutdown(socket.SHUT_WR)  # a client waits for that, and sends nothing more
        assert (yield from raw.recv()) is None

    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        waiting = newthread(ws.recv)
        yield from sleep(0)
        yield from ws.close(4000, "enough")
        assert (yield from waiting.join()) == "dropped"
        assert ws.closed
        assert (ws.close_code, ws.close_reason) == (4000, "enough")
        assert (yield from ws.recv()) is None
        with pytest.raises(WebSocketClosed, match="4000: enough"):
            yield from ws.send("a")
        yield from ws.close(1000)


@in_thread
def test_a_peer_that_does_not_answer_the_close() -> Steps:
    with raw_server(silent) as address:
        ws = yield from http.websocket(address, close_s=0.01)
        yield from ws.close()
        assert ws.close_code == 1006
        assert ws.close_reason == "the peer has not closed in time"
        with pytest.raises(WebSocketClosed, match="not closed in time"):
            yield from ws.recv()


@in_thread
def test_a_peer_that_floods_while_we_close() -> Steps:
    def script(raw: Raw) -> Steps:
        while True:
            yield from raw.send(*[(BINARY, bytes(1000))] * 100)

    with raw_server(script) as address:
        ws = yield from http.websocket(address, close_s=0.05)
        yield from ws.close()
        assert ws.close_code == 1006


@pytest.mark.parametrize("fails", [False, True])
@in_thread
def test_the_end_of_a_handler(fails: bool, caplog: pytest.LogCaptureFixture) -> Steps:
    def use(ws: WebSocket) -> Steps:
        yield from ws.send("a")
        if fails:
            raise KeyError("of the handler")

    with served(use) as connect:
        raw = yield from connect()
        assert (yield from raw.recv()) == (TEXT, b"a")
        code = 1011 if fails else 1000
        assert (yield from raw.recv()) == (CLOSE, closing(code))
        yield from raw.send((CLOSE, closing(code)))
        assert (yield from raw.recv()) is None
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == fails


@in_thread
def test_a_handler_that_does_not_catch_the_end(caplog: pytest.LogCaptureFixture) -> Steps:
    caplog.set_level(logging.INFO)

    def use(ws: WebSocket) -> Steps:
        yield from ws.recv()

    with served(use) as connect:
        raw = yield from connect()
        yield from raw.send((CLOSE, closing(3000, "why")))
        yield from raw.expect_close(3000)
        raw.lines.close()
        while not caplog.records:
            yield from sleep(0)
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert "closed by the peer: 3000: why" in caplog.text


# Blocks.


@pytest.mark.parametrize(("error", "code"), [(None, 1000), (KeyError, 1011)])
@in_thread
def test_a_plain_block(error: type[Exception] | None, code: int) -> Steps:
    """The Close frame is sent, and the connection is closed at once."""

    def script(raw: Raw) -> Steps:
        yield from raw.expect_close(code)
        closed.set()

    closed = socket2.Event()
    with raw_server(script) as address:
        try:
            with (yield from http.websocket(address)) as ws:
                if error is not None:
                    raise error
        except KeyError:
            pass
        assert ws.closed
        assert ws.close_code == code
        yield from closed.wait()


@in_thread
def test_abort() -> Steps:
    def script(raw: Raw) -> Steps:
        assert (yield from raw.recv()) is None
        closed.set()

    closed = socket2.Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        reading = newthread(ws.recv)
        yield from sleep(0)
        ws.abort()
        with pytest.raises(WebSocketClosed, match="closed by this program"):
            yield from reading.join()
        yield from closed.wait()


@pytest.mark.parametrize(
    ("code", "reason"), [(1004, ""), (1005, ""), (1006, ""), (1015, ""), (999, ""), (5000, ""), (1000, "é" * 62)]
)
@in_thread
def test_what_a_close_cannot_say(code: int, reason: str) -> Steps:
    with serving(echo) as server:
        ws = yield from http.websocket(url(server))
        with pytest.raises(ValueError, match="closed with|at most 123 bytes"):
            ws.close(code, reason)
        assert repr(ws).startswith("<WebSocket, open, over <TCP")
        yield from ws.close(1000, "é" * 61)
        assert repr(ws).startswith("<WebSocket, closed, over <TCP")


def test_the_error_can_be_pickled() -> None:
    error = WebSocketClosed(1011, "why", True)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.reason, copy.by_peer, str(copy)) == (1011, "why", True, str(error))
    assert str(error) == "the WebSocket was closed by the peer: 1011 (internal error): why"
    assert isinstance(error, ConnectionError)


@in_thread
def test_a_send_to_a_peer_that_has_gone() -> Steps:
    def script(raw: Raw) -> Steps:
        raw.lines.sock.setopt("linger", 0)
        yield from sleep(0)

    with raw_server(script) as address:
        ws = yield from http.websocket(address, compress=False)
        with pytest.raises(WebSocketClosed) as caught:
            while True:
                yield from ws.send(bytes(1 << 20))
        assert caught.value.code == 1006
        with pytest.raises(WebSocketClosed):
            yield from ws.recv()
        assert ws.closed


@in_thread
def test_the_close_of_a_peer_that_takes_nothing_more() -> Steps:
    """Our send fails, but the peer's Close frame tells why."""

    def script(raw: Raw) -> Steps:
        yield from raw.send((CLOSE, closing(1008, "enough")))
        raw.lines.sock.shutdown(socket.SHUT_WR)
        while (yield from raw.recv()) is not None:
            pass

    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        with pytest.raises(WebSocketClosed) as caught:
            yield from ws.recv()
        assert (caught.value.code, caught.value.reason, caught.value.by_peer) == (1008, "enough", True)
