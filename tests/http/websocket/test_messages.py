"""Messages in both directions, fragments, and who may send and receive."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import Busy, http, newthread, sleep
from socket2.http import Fragment, WebSocket
from tests.interop.peers import pattern

from ..client.scripted import Steps, in_thread
from .scene import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Raw,
    closing,
    echo,
    raw_server,
    served,
    serving,
    url,
)


@pytest.mark.parametrize("size", [0, 5, 200, 70_000, 1 << 20])
@in_thread
def test_messages(size: int) -> Steps:
    data = pattern(1, size)
    with serving(echo) as server:
        ws = yield from http.websocket(url(server))
        for message in (data, bytearray(data), memoryview(data), data.hex()[:size]):
            yield from ws.send(message)
            assert (yield from ws.recv()) == message
        yield from ws.close()


def test_in_async_def() -> None:
    async def echo_async(request: http.Request) -> None:
        ws = await request.websocket()
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        server = socket2.Server(http.handler(echo_async))
        server.add(socket2.listen("127.0.0.1:0"))
        async with await http.websocket(url(server)) as ws:
            for text in ("a", "b"):
                await ws.send(text)
                assert await ws.recv() == text
        assert ws.closed
        assert ws.close_code == 1000
        assert [message async for message in ws] == []
        await server.stop()

    socket2.run(main)


@in_thread
def test_fragments_that_we_send() -> Steps:
    with serving(echo) as server, raw_server(fragments) as address:
        for where in (url(server), address):
            ws = yield from http.websocket(where)
            for piece, last in (("a" * 100, False), ("", False), ("é", True)):
                yield from ws.send(piece, last)
            assert (yield from ws.recv()) == "a" * 100 + "é"
            yield from ws.send(b"a", False)
            with pytest.raises(TypeError):
                yield from ws.send("a", False)
            yield from ws.send(b"", True)
            assert (yield from ws.recv()) == b"a"
            yield from ws.close()


def several(raw: Raw, n: int) -> Steps:
    found = []
    for _ in range(n):
        found.append((yield from raw.recv()))
    return found


def fragments(raw: Raw) -> Steps:
    found = yield from several(raw, 3)
    assert [(first, len(data)) for first, data in found] == [(0x01, 100), (0x00, 0), (0x80, 2)]
    yield from raw.send(*found)
    found = yield from several(raw, 2)
    assert found == [(0x02, b"a"), (0x80, b"")]
    yield from raw.send(*found)
    assert (yield from raw.recv()) == (CLOSE, closing(1000))
    yield from raw.send((CLOSE, closing(1000)))


@in_thread
def test_fragments_that_we_receive() -> Steps:
    found: list[Any] = []

    def use(ws: WebSocket) -> Steps:
        found.append((yield from ws.recv()))
        for _ in range(4):
            found.append((yield from ws.recv_fragment()))
        found.append((yield from ws.recv_fragment()))
        assert (yield from ws.recv_fragment()) is None

    with served(use, max_bytes=4) as connect:
        raw = yield from connect()
        yield from raw.send((0x01, b"a\xc3"), (PING, b"1"), (0x00, b"\xa9"), (0x80, b"b"))
        yield from raw.send((0x02, b"abcd"), (0x00, b""), (0x00, b"efgh"), (0x80, b"i"), (TEXT, b"x"))
        assert (yield from raw.recv()) == (PONG, b"1")
        yield from raw.send((CLOSE, closing(1000)))
        yield from raw.expect_close(1000)
    assert found[0] == "aéb"
    assert found[1:] == [
        Fragment(b"abcd", False),
        Fragment(b"", False),
        Fragment(b"efgh", False),
        Fragment(b"i", True),
        Fragment("x", True),
    ]


@in_thread
def test_one_thread_in_each_direction() -> Steps:
    with serving(echo) as server:
        ws = yield from http.websocket(url(server), compress=False)
        reading = newthread(ws.recv, name="reader")
        yield from sleep(0)
        with pytest.raises(Busy, match="'reader' is receiving from this WebSocket"):
            yield from ws.recv()
        with pytest.raises(Busy):
            yield from ws.recv_fragment()
        yield from ws.send("a")
        assert (yield from reading.join()) == "a"
        yield from ws.close()


@in_thread
def test_a_second_sender_is_refused() -> Steps:
    def script(raw: Raw) -> Steps:
        yield from go_on.wait()
        while (found := (yield from raw.recv())) is not None and found[0] != CLOSE:
            pass
        yield from raw.send(found)

    go_on = socket2.Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, compress=False)
        sending = newthread(ws.send, bytes(20 << 20))
        yield from sleep(0)
        with pytest.raises(Busy, match="sending to this WebSocket"):
            yield from ws.send("a")
        go_on.set()
        yield from sending.join()
        yield from ws.close()


@in_thread
def test_wrong_messages() -> Steps:
    with serving(echo) as server:
        ws = yield from http.websocket(url(server))
        for wrong in (None, 1, ["a"]):
            with pytest.raises(TypeError, match="bytes-like"):
                ws.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            ws.send("\ud800")
        yield from ws.close()
