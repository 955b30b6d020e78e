"""Sinks and sources of sockets, in each of their modes."""

from __future__ import annotations

from typing import Any

import pytest

from socket2 import luasocket

from ..interop.peers import beside, pattern, receive_all, receive_exactly
from .face import Do, Pair

BIG = pattern(3, 100_000)


async def pulled(do: Do, source: Any) -> tuple[list[bytes], Any]:
    """Pull until the end. Return the chunks, and the error if there was one."""
    chunks: list[bytes] = []
    while True:
        chunk, err = await do(source)
        if chunk is None:
            return chunks, err
        assert err is None
        chunks.append(chunk)


# Sinks.


@pytest.mark.parametrize("mode", [(), ("keep-open",)])
async def test_a_sink_that_keeps_the_socket_open(do: Do, pair: Pair, mode: tuple[str, ...]) -> None:
    sink = luasocket.sink(*mode, pair.client)
    assert await do(sink, b"one ") == (1, None)
    assert await do(sink, b"") == (1, None)
    assert await do(sink, b"two", None) == (1, None)
    assert await do(sink, None) == (1, None)
    assert await do(pair.client.send, b" open") == (5, None, None)
    assert receive_exactly(pair.peer, 12) == b"one two open"


async def test_a_sink_that_closes_the_socket(do: Do, pair: Pair) -> None:
    sink = luasocket.sink("close-when-done", pair.client)
    assert await do(sink, b"all") == (1, None)
    assert pair.client.getfd() >= 0
    assert await do(sink, None, "an error of the source") == (1, None)
    assert pair.client.getfd() == sink.getfd() == -1
    assert receive_all(pair.peer) == b"all"
    assert await do(sink, b"more") == (None, "closed")


async def test_a_sink_of_chunks(do: Do, pair: Pair) -> None:
    sink = luasocket.sink("http-chunked", pair.client)
    assert await do(sink, b"0123456789abcdef") == (1, None)
    assert await do(sink, b"") == (1, None), "an empty chunk would be the end"
    assert await do(sink, b"x" * 0xAB) == (1, None)
    assert await do(sink, None) == (1, None)
    assert await do(pair.client.send, b"open") == (4, None, None)
    pair.client.close()
    assert receive_all(pair.peer) == b"10\r\n0123456789abcdef\r\nAB\r\n" + b"x" * 0xAB + b"\r\n0\r\n\r\nopen"


async def test_a_sink_of_chunks_that_closes_the_socket(do: Do, pair: Pair) -> None:
    sink = luasocket.sink("http-chunked", pair.client, True)
    assert await do(sink, None) == (1, None)
    assert pair.client.getfd() == -1
    assert receive_all(pair.peer) == b"0\r\n\r\n"


@pytest.mark.parametrize("mode", ["keep-open", "close-when-done", "http-chunked"])
async def test_a_sink_tells_of_an_error(do: Do, pair: Pair, mode: str) -> None:
    sink = luasocket.sink(mode, pair.client)
    pair.client.settimeout(0.01)
    assert await do(sink, bytes(10_000_000)) == (None, "timeout")
    assert pair.client.getstats()[1] > 0, "how far it came"
    pair.client.close()
    assert await do(sink, b"x") == (None, "closed")


# Sources.


@pytest.mark.parametrize("mode", [(), ("until-closed",)])
async def test_a_source_of_everything(do: Do, pair: Pair, mode: tuple[str, ...]) -> None:
    def feed() -> None:
        pair.peer.sendall(BIG)
        pair.peer.close()

    source = luasocket.source(*mode, pair.client)
    with beside(feed):
        chunks, err = await pulled(do, source)
    assert err is None
    assert b"".join(chunks) == BIG
    assert {len(chunk) for chunk in chunks[:-1]} == {2048}
    assert pair.client.getfd() == source.getfd() == -1
    assert await do(source) == (None, None)


async def test_a_source_of_everything_of_nothing(do: Do, pair: Pair) -> None:
    pair.peer.close()
    assert await pulled(do, luasocket.source(pair.client)) == ([], None)


async def test_a_source_of_so_many_bytes(do: Do, pair: Pair) -> None:
    pair.peer.sendall(BIG[:5000] + b"rest")
    source = luasocket.source("by-length", pair.client, 5000)
    assert [len(chunk) for chunk in (await pulled(do, source))[0]] == [2048, 2048, 904]
    assert await do(source) == (None, None)
    assert await do(pair.client.receive, 4) == (b"rest", None, None)
    assert await pulled(do, luasocket.source("by-length", pair.client, 0)) == ([], None)
    assert await pulled(do, luasocket.source("by-length", pair.client, -5)) == ([], None)


async def test_a_source_of_more_bytes_than_come(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"x" * 3000)
    pair.peer.close()
    chunks, err = await pulled(do, luasocket.source("by-length", pair.client, 5000))
    assert ([len(chunk) for chunk in chunks], err) == ([2048], "closed")


async def test_the_block_size_can_be_changed(do: Do, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luasocket, "BLOCKSIZE", 3)
    pair.peer.sendall(b"0123456789")
    pair.peer.close()
    assert (await pulled(do, luasocket.source("by-length", pair.client, 5)))[0] == [b"012", b"34"]
    assert (await pulled(do, luasocket.source(pair.client)))[0] == [b"567", b"89"]


CHUNKED = b"5;name=value\r\nhello\r\n00a\r\n, chunked \r\n5 \r\nworld\r\n0\r\nOne: 1\r\none: 2\r\n folded\r\n\r\nnext"


async def test_a_source_of_chunks(do: Do, pair: Pair) -> None:
    pair.peer.sendall(CHUNKED)
    trailer = {"one": "0", "else": "stays"}
    source = luasocket.source("http-chunked", pair.client, trailer)
    assert await pulled(do, source) == ([b"hello", b", chunked ", b"world"], None)
    assert trailer == {"one": "0, 1, 2 folded", "else": "stays"}
    assert await do(source) == (None, None)
    assert await do(pair.client.receive, 4) == (b"next", None, None)


async def test_a_big_chunk_comes_in_blocks(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (5000, BIG[:5000]))
    chunks, err = await pulled(do, luasocket.source("http-chunked", pair.client))
    assert ([len(chunk) for chunk in chunks], err) == ([2048, 2048, 904], None)
    assert b"".join(chunks) == BIG[:5000]


@pytest.mark.parametrize("line", [b"", b"x", b"-1", b"0x5", b"+5", b"5 5", b"5_0", b";ext"])
async def test_an_invalid_chunk_size(do: Do, pair: Pair, line: bytes) -> None:
    pair.peer.sendall(line + b"\r\n")
    assert await do(luasocket.source("http-chunked", pair.client)) == (None, "invalid chunk size")


async def test_a_malformed_trailer(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"0\r\nno field\r\n\r\n")
    assert await do(luasocket.source("http-chunked", pair.client)) == (None, "malformed reponse headers")


async def test_chunks_that_end_too_early(do: Do, pair: Pair) -> None:
    pair.peer.sendall(CHUNKED[:30])
    pair.peer.close()
    chunks, err = await pulled(do, luasocket.source("http-chunked", pair.client))
    assert (chunks, err) == ([b"hello"], "closed")


@pytest.mark.parametrize(("mode", "rest"), [("until-closed", ()), ("by-length", (60,)), ("http-chunked", ())])
async def test_a_timeout_loses_nothing(do: Do, pair: Pair, mode: str, rest: tuple[int, ...]) -> None:
    """The data comes byte by byte, with a timeout after each."""
    pair.client.settimeout(0)
    source = luasocket.source(mode, pair.client, *rest)
    got = b""
    for at in range(len(CHUNKED)):
        pair.peer.sendall(CHUNKED[at : at + 1])
        await do(luasocket.select, [pair.client], None, 1)
        chunk, err = await do(source)
        got += chunk or b""
        assert err in (None, "timeout")
    if mode != "http-chunked":
        pair.peer.close()
        await do(luasocket.select, [pair.client], None, 1)
        chunk, err = await do(source)
        got += chunk or b""
    assert got == {"until-closed": CHUNKED, "by-length": CHUNKED[:60], "http-chunked": b"hello, chunked world"}[mode]


# Both.


def test_an_unknown_mode_raises(pair: Pair) -> None:
    for make in (luasocket.sink, luasocket.source):
        with pytest.raises(ValueError, match=r"unknown key \(sideways\)"):
            make("sideways", pair.client)


def test_more_modes_can_be_added(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(luasocket.sinkt, "mine", lambda sock: ("my sink", sock))
    monkeypatch.setitem(luasocket.sourcet, "mine", lambda sock, option: ("my source", sock, option))
    sink: Any = luasocket.sink("mine", pair.client)
    source: Any = luasocket.source("mine", pair.client, 5)
    assert sink == ("my sink", pair.client)
    assert source == ("my source", pair.client, 5)


async def test_they_have_the_descriptor_and_the_buffer_of_their_socket(do: Do, pair: Pair) -> None:
    ends: list[Any] = [luasocket.sink(pair.client), luasocket.source(pair.client)]
    assert [end.getfd() for end in ends] == [pair.client.getfd()] * 2
    assert [end.dirty() for end in ends] == [False] * 2
    pair.peer.sendall(b"one\ntwo")
    assert await do(pair.client.receive) == (b"one", None, None)
    assert [end.dirty() for end in ends] == [True] * 2


async def test_from_socket_to_socket(do: Do, pair: Pair) -> None:
    """The data goes through HTTP's chunked coding and back."""
    ltn12 = luasocket.ltn12

    def answer() -> None:
        with pair.peer:
            for part in (b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n"):
                pair.peer.sendall(part)

    with beside(answer):
        source = luasocket.source("http-chunked", pair.client)
        sink, chunks = ltn12.sink.table()
        assert await do(ltn12.pump.all, source, sink) == (1, None)
        assert b"".join(chunks) == b"hello world"
