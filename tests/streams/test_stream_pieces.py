"""Streams over real sockets: data in any pieces, what an early end leaves behind, iteration."""

from __future__ import annotations

import errno
import os
import pickle
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Cancelled,
    IncompleteRead,
    LimitExceeded,
    Stream,
    newthread,
    sleep,
    stream,
    timeout,
)

from ..interop.peers import beside, pattern, run
from . import test_stream
from .test_stream import Pair, connected, ends

pair = test_stream.pair


# Data in any pieces.


class Dribble(TCP):
    """A socket that receives at most `most` bytes at a time, so that pieces are as small as the test wants."""

    __slots__ = ("most",)
    most: int

    def recv(self, n: int = 1) -> Any:
        return super().recv(min(n, self.most))


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_in_what_pieces_it_comes(seed: int) -> None:
    """The same sequence of receives gives the same results, byte by byte and all at once."""
    rng = random.Random(seed)
    data = b"".join(rng.choice([b"a", b"\n", b"\r\n", b"::", b":", bytes(rng.randrange(40))]) for _ in range(300))

    def script() -> list[Callable[[Stream], Any]]:
        pick = random.Random(seed)
        choices: list[Callable[[Stream], Any]] = [
            lambda s: s.recvline(),
            lambda s: s.recvline(5),
            lambda s: s.recvline(5, keep_end=True),
            lambda s: s.recvuntil(b"::", 7),
            lambda s: s.recvuntil(b"\r\n", keep_end=True),
            lambda s: s.recvn(3),
            lambda s: s.peek(9),
        ]
        return [pick.choice(choices) for _ in range(200)] + [lambda s: s.recvall(3), lambda s: s.recvall()]

    async def outcomes(most: int) -> list[Any]:
        with connected() as (plain, peer):
            sock = Dribble(socket.socket(fileno=plain.sock.detach()))
            sock.most = most
            ends(peer, data)
            found: list[Any] = []
            with stream(sock) as ours:
                for receive in script():
                    try:
                        found.append(await receive(ours))
                    except IncompleteRead as error:
                        found.append((str(error), error.partial))
                    except LimitExceeded as error:
                        found.append(str(error))
                        found.append(await ours.recvn(1))  # as a parser does that continues
            return found

    async def main() -> None:
        at_once = await outcomes(1 << 16)
        assert await outcomes(1) == at_once
        assert await outcomes(rng.randrange(2, 9)) == at_once

    run(main)


@pytest.mark.parametrize(("size", "most"), [(30_000, 1), (20_000_000, 1 << 16)])
def test_a_long_line_is_linear_work(monkeypatch: pytest.MonkeyPatch, size: int, most: int) -> None:
    """Each byte is received once and searched once: see also the buffer's tests."""
    searched = 0

    class Counting(bytearray):
        def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
            nonlocal searched
            searched += min(end, len(self)) - start
            return super().find(sub, start, end)

    line = os.urandom(1 << 16).replace(b"\n", b"-").replace(b"\r", b"-") * (size // (1 << 16) + 1)
    line = line[:size]

    async def main() -> None:
        with connected() as (plain, peer):
            sock = Dribble(socket.socket(fileno=plain.sock.detach()))
            sock.most = most
            with stream(sock) as ours, beside(peer.sendall, line + b"\n"):
                monkeypatch.setattr("socket2.streams.buffer.bytearray", Counting, raising=False)
                assert await ours.recvline(None) == line

    run(main)
    assert size - most <= searched <= size + 2


# An early end keeps what has come.


RECEIVES: list[tuple[str, Callable[[Stream], Any], bytes]] = [
    ("recvn", lambda s: s.recvn(10), b"0123456789"),
    ("recvline", lambda s: s.recvline(), b"012345678"),
    ("recvuntil", lambda s: s.recvuntil(b"9"), b"012345678"),
    ("peek", lambda s: s.peek(10), b"0123456789"),
    ("recvall", lambda s: s.recvall(), b"0123456789"),
]
early = pytest.mark.parametrize(("name", "receive", "data"), RECEIVES, ids=[name for name, _, _ in RECEIVES])


def last_of(name: str) -> bytes:
    return b"\n" if name == "recvline" else b"9"


@early
def test_a_cancelled_receive_loses_nothing(
    pair: Pair, name: str, receive: Callable[[Stream], Any], data: bytes
) -> None:
    ours, peer = pair

    async def main() -> None:
        for part in (b"0123", b"45", b"678"):
            receiving = newthread(receive(ours))
            before = ours.buffered
            peer.sendall(part)
            while ours.buffered == before:
                await sleep(0.001)
            receiving.cancel()
            with pytest.raises(Cancelled):
                await receiving.join()
        ends(peer, last_of(name))
        assert (await receive(ours)).startswith(data)

    run(main)


@early
def test_a_receive_that_is_out_of_time_loses_nothing(
    pair: Pair, name: str, receive: Callable[[Stream], Any], data: bytes
) -> None:
    ours, peer = pair

    async def main() -> None:
        ours.sock.settimeout(0.01)
        peer.sendall(b"0123")
        with pytest.raises(TimeoutError):
            await receive(ours)
        peer.sendall(b"45678")
        with pytest.raises(TimeoutError), timeout(0.001):
            await receive(ours)
        ours.sock.settimeout(None)
        ends(peer, last_of(name))
        assert (await receive(ours)).startswith(data)

    run(main)


def test_the_timeout_is_for_the_whole_operation(pair: Pair) -> None:
    """A peer that sends a byte now and then does not extend the timeout."""
    ours, peer = pair

    async def drip() -> None:
        while True:
            peer.sendall(b"x")
            await sleep(0.01)

    async def main() -> None:
        ours.sock.settimeout(0.5)
        dripping = newthread(drip())
        with pytest.raises(TimeoutError):
            await ours.recvline()
        assert ours.buffered > 1
        dripping.cancel()
        with pytest.raises(Cancelled):
            await dripping.join()

    run(main)


def test_too_long_keeps_what_has_come(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"0123456789\nnext\n")
        with pytest.raises(LimitExceeded, match="a line is longer than 5 bytes") as failure:
            await ours.recvline(5)
        assert failure.value.max_bytes == 5
        assert isinstance(failure.value, OSError)
        with pytest.raises(LimitExceeded):
            await ours.recvuntil(b"\n", 9)
        with pytest.raises(LimitExceeded, match="the stream is longer than 3 bytes"):
            await ours.recvall(3)
        assert await ours.recvline(10) == b"0123456789"
        assert await ours.recvall(5) == b"next\n"

    run(main)


def test_a_limit_is_told_before_the_end_comes(pair: Pair) -> None:
    """A peer that sends too much and then waits is detected."""
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"123456")
        for receive in (ours.recvline(5), ours.recvuntil(b"\n", 5), ours.recvall(5)):
            with pytest.raises(LimitExceeded):
                await receive

    run(main)


def test_a_line_may_be_100_kb_when_that_is_allowed(pair: Pair) -> None:
    ours, peer = pair
    line = b"x" * 100_000

    async def main() -> None:
        with beside(ends, peer, (line + b"\r\n") * 3):
            with pytest.raises(LimitExceeded):
                await ours.recvline()
            for most in (100_000, 1 << 40, None):
                assert await ours.recvline(most) == line

    run(main)


def test_a_reset_keeps_what_has_come() -> None:
    async def main() -> None:
        with connected() as (ours, peer):
            peer.sendall(b"half a li")
            assert await ours.peek(9) == b"half a li"
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            with pytest.raises(ConnectionResetError):
                await ours.recvline()
            assert await ours.recv(100) == b"half a li"

    run(main)


def test_errors_can_be_pickled() -> None:
    incomplete = pickle.loads(pickle.dumps(IncompleteRead("a line", b"abc")))
    assert (str(incomplete), incomplete.partial) == ("the stream ended after 3 bytes of a line", b"abc")
    limit = pickle.loads(pickle.dumps(LimitExceeded("a line", 5)))
    assert (limit.errno, limit.max_bytes, str(limit)) == (
        errno.EMSGSIZE,
        5,
        f"[Errno {errno.EMSGSIZE}] a line is longer than 5 bytes",
    )


# Iteration.


def test_async_for_gives_lines(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"one\n\nthree\r\n")
        assert [line async for line in ours] == [b"one", b"", b"three"]
        assert [line async for line in ours] == []

    run(main)


def test_lines_with_their_ends_and_a_limit(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"one\ntwo\r\nlonger\n")
        found = []
        with pytest.raises(LimitExceeded):
            async for line in ours.lines(3, keep_end=True):
                found.append(line)
        assert found == [b"one\n", b"two\r\n"]
        assert await ours.recvline() == b"longer"

    run(main)


def test_chunks_give_what_comes(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(3, 200_000)

    async def main() -> None:
        with beside(ends, peer, data):
            chunks = [chunk async for chunk in ours.chunks(1000)]
        assert b"".join(chunks) == data
        assert all(0 < len(chunk) <= 1000 for chunk in chunks)

    run(main)


def test_a_generator_loops_on_recvline(pair: Pair) -> None:
    ours, peer = pair

    def main() -> Any:
        ends(peer, b"one\n\nthree\n")
        found = []
        while (line := (yield from ours.recvline())) is not None:
            found.append(line)
        assert found == [b"one", b"", b"three"]

    socket2.run(main)
