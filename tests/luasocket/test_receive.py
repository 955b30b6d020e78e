"""receive(): each pattern, with and without a prefix, whole and cut short."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..interop.peers import LIMIT_S, beside, pattern
from .face import Do, Pair

BIG = pattern(1, 300_000)


@pytest.mark.parametrize(
    ("sent", "asked", "prefix", "got"),
    [
        (b"a line\n", "*l", b"", b"a line"),
        (b"a line\r\n", "*l", b"", b"a line"),
        (b"every\rCR\r\r\n", "*l", b"", b"everyCR"),
        (b"\n", "*l", b"", b""),
        (b"\r\n", "*l", b"", b""),
        (b"end\n", "*l", b"the ", b"the end"),
        (b"a\rb\r\n", "*line", b"", b"ab"),
        (b"a\rb\r\n", "*l and more", b"", b"ab"),
        (b"end\n", "*l", b"a CR\rstays ", b"a CR\rstays end"),
        (b"one\rCR\r\r\n", "l", b"", b"one\rCR\r"),
        (b"\n", "l", b"the CR came before\r", b"the CR came before"),
        (b"no CR\n", "l", b"", b"no CR"),
        (b"the\rend\r\n", "L", b"", b"the\rend\r\n"),
        (b"\n", "L", b"pre", b"pre\n"),
        (b"12345", 5, b"", b"12345"),
        (b"345", 5, b"12", b"12345"),
        (b"\n\r\n", 3, b"", b"\n\r\n"),
        (b"", 3, b"abc", b"abc"),
        (b"", 3, b"abcdef", b"abcdef"),
        (b"", 0, b"", b""),
        (b"", 0, b"pre", b"pre"),
    ],
)
async def test_pattern(do: Do, pair: Pair, sent: bytes, asked: Any, prefix: bytes, got: bytes) -> None:
    pair.peer.sendall(sent)
    assert await do(pair.client.receive, asked, prefix) == (got, None, None)
    pair.client.settimeout(0)
    assert await do(pair.client.receive, 1) == (None, "timeout", b""), "and nothing more was taken"


async def test_the_default_is_a_line_without_prefix(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"one\ntwo\n")
    assert await do(pair.client.receive) == (b"one", None, None)
    assert await do(pair.client.receive) == (b"two", None, None)


async def test_a_prefix_is_any_bytes(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"b\nd\n")
    assert await do(pair.client.receive, "*l", bytearray(b"a")) == (b"ab", None, None)
    assert await do(pair.client.receive, "*l", memoryview(b"c")) == (b"cd", None, None)


async def test_everything_to_the_end(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"all\r\nof it")
    pair.peer.close()
    assert await do(pair.client.receive, "*a", b"and ") == (b"and all\r\nof it", None, None)


async def test_everything_of_nothing_is_closed(do: Do, pair: Pair) -> None:
    pair.peer.close()
    assert await do(pair.client.receive, "*a", b"pre") == (None, "closed", b"pre")
    assert await do(pair.client.receive, "*a") == (None, "closed", b"")


@pytest.mark.parametrize(("asked", "partial"), [("*l", b"prepart"), ("l", b"prepa\rrt"), ("L", b"prepa\rrt")])
async def test_a_line_cut_short_by_the_end(do: Do, pair: Pair, asked: str, partial: bytes) -> None:
    pair.peer.sendall(b"pa\rrt")
    pair.peer.close()
    assert await do(pair.client.receive, asked, b"pre") == (None, "closed", partial)
    assert await do(pair.client.receive, asked) == (None, "closed", b"")


async def test_a_number_cut_short_by_the_end(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"par")
    pair.peer.close()
    assert await do(pair.client.receive, 100, b"pre") == (None, "closed", b"prepar")
    assert await do(pair.client.receive, 0) == (b"", None, None)
    assert await do(pair.client.receive, 1) == (None, "closed", b"")


@pytest.mark.parametrize("asked", ["*l", "*a", 10])
async def test_what_a_timeout_cut_short_goes_on_as_the_prefix(do: Do, pair: Pair, asked: Any) -> None:
    pair.client.settimeout(0.01)
    pair.peer.sendall(b"01234")
    data, err, partial = await do(pair.client.receive, asked)
    assert (data, err, partial) == (None, "timeout", b"01234")
    assert not pair.client.dirty(), "it is the caller's now"
    pair.client.settimeout(LIMIT_S)
    pair.peer.sendall(b"56789" + b"\n" * (asked == "*l"))
    pair.peer.close()
    assert await do(pair.client.receive, asked, partial) == (b"0123456789", None, None)


async def test_the_patterns_share_one_buffer(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"line\n12345L\nrest")
    pair.peer.close()
    assert not pair.client.dirty()
    assert await do(pair.client.receive, "*l") == (b"line", None, None)
    assert pair.client.dirty()
    assert await do(pair.client.receive, 5) == (b"12345", None, None)
    assert await do(pair.client.receive, "L") == (b"L\n", None, None)
    assert await do(pair.client.receive, "*a") == (b"rest", None, None)
    assert not pair.client.dirty()


async def test_big_ones(do: Do, pair: Pair) -> None:
    def feed() -> None:
        with pair.peer:
            pair.peer.sendall(BIG + b"\n" + BIG + BIG)

    wanted = BIG.replace(b"\n", b"").replace(b"\r", b"")
    with beside(feed):
        data = b""
        for _ in range(BIG.count(b"\n") + 1):
            line, err, _ = await do(pair.client.receive)
            assert err is None
            data += line
        assert data == wanted
        assert await do(pair.client.receive, len(BIG)) == (BIG, None, None)
        assert await do(pair.client.receive, "*a") == (BIG, None, None)


@pytest.mark.parametrize("asked", ["", "l*", "a", "*n", -1, "5"])
def test_another_pattern_raises(pair: Pair, asked: Any) -> None:
    with pytest.raises(ValueError, match="invalid receive pattern"):
        pair.client.receive(asked)


@pytest.mark.parametrize("asked", [1.5, b"*l", True, ["*l"]])
def test_what_is_no_pattern_raises(pair: Pair, asked: Any) -> None:
    with pytest.raises(TypeError, match="invalid receive pattern"):
        pair.client.receive(asked)


def test_a_prefix_of_text_raises(pair: Pair) -> None:
    with pytest.raises(TypeError):
        pair.client.receive("*l", "text")  # type: ignore[arg-type]


async def test_a_reset_is_closed_and_says_so(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"part")
    assert await do(pair.client.receive, 1) == (b"p", None, None)
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()
    data, err, partial = await do(pair.client.receive, "*a")
    assert (data, err, partial) == (None, "closed", b"art"), "data may be missing, so this is no end of '*a'"
    assert err.errno == errno.ECONNRESET


async def test_a_reset_stays_one(do: Do, pair: Pair) -> None:
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()
    for what in ("*l", 1, "*a", "*a"):
        data, err, partial = await do(pair.client.receive, what)
        assert (data, err, err.errno, partial) == (None, "closed", errno.ECONNRESET, b"")


async def test_cancelled_it_has_taken_nothing(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"01234")
    receiver = socket2.newthread(pair.client.receive, 10)
    while not pair.client.dirty():
        await do(luasocket.sleep, 0)
    receiver.cancel()
    await do(luasocket.sleep, 0)
    assert receiver.done
    assert await do(pair.client.receive, 5) == (b"01234", None, None)


async def test_a_second_receiver_is_refused_and_takes_nothing(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"one and ")
    first = socket2.newthread(pair.client.receive, "*l", name="the first")
    while not pair.client.dirty():
        await do(luasocket.sleep, 0)
    with pytest.raises(socket2.Busy, match="'the first' is receiving"):
        await do(pair.client.receive, 1)
    pair.peer.sendall(b"two\n")
    while not first.done:
        await do(luasocket.sleep, 0)
    assert first.result() == (b"one and two", None, None)


async def test_close_wakes_who_receives(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"part")
    receiver = socket2.newthread(pair.client.receive, "*a", b"pre")
    while not pair.client.dirty():
        await do(luasocket.sleep, 0)
    pair.client.close()
    while not receiver.done:
        await do(luasocket.sleep, 0)
    data, err, partial = receiver.result()
    assert (data, err, err.errno) == (None, "closed", errno.EBADF)
    assert partial == b"prepart"


async def test_after_close_it_is_closed(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"one\ntwo\n")
    assert await do(pair.client.receive) == (b"one", None, None)
    pair.client.close()
    for asked in ("*l", "*a", 5, 0):
        assert await do(pair.client.receive, asked, b"") == (None, "closed", b"")
