"""Streams over real sockets: data in any pieces, and what an early end leaves behind."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import random
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Busy,
    Cancelled,
    Closed,
    IncompleteRead,
    LimitExceeded,
    Stream,
    newthread,
    sleep,
    stream,
    tcp,
    timeout,
    udp,
    unix,
)

from ..interop.peers import LIMIT_S, beside, pattern, receive_all, run

Pair = tuple[Stream, socket.socket]

FAMILIES = ["inet", "unix"] if hasattr(socket, "AF_UNIX") else ["inet"]


class Faced:
    """A minimal byte stream over a socket."""

    def __init__(self, sock: TCP) -> None:
        self.__sock = sock

    @property
    def closed(self) -> bool:
        return self.__sock.closed

    def fileno(self) -> int:
        return self.__sock.fileno()

    async def recv(self, n: int) -> bytes:
        return await self.__sock.recv(n)

    def recv_into(self, buffer: Any, n: int | None = None) -> Any:
        return self.__sock.recv_into(buffer, n)

    def sendall(self, data: Any) -> Any:
        yield from self.__sock.sendall(data)

    def shutdown(self, how: int) -> None:
        self.__sock.shutdown(how)

    def close(self) -> None:
        self.__sock.close()

    def settimeout(self, seconds: float | None, direction: Any = None) -> None:
        self.__sock.settimeout(seconds, direction)

    def gettimeout(self, direction: Any = "read") -> float | None:
        return self.__sock.gettimeout(direction)

    def __repr__(self) -> str:
        return f"<the face of {self.__sock!r}>"


OVER: dict[str, Callable[[TCP], Stream]] = {
    "inet": stream,
    "unix": stream,
    "its face alone": lambda sock: stream(Faced(sock)),
    "another stream": lambda sock: stream(stream(sock)),
}


@contextmanager
def connected(family: str = "inet", over: Callable[[TCP], Stream] = stream) -> Iterator[Pair]:
    """Return a stream, and the standard library's blocking socket at its other end."""
    if family == "unix":
        ours, peer = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.settimeout(LIMIT_S)
    number = ours.detach()
    with over(unix(fileno=number) if family == "unix" else tcp(fileno=number)) as made, peer:
        yield made, peer


@pytest.fixture(params=[*FAMILIES, *list(OVER)[2:]])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with connected("unix" if request.param == "unix" else "inet", OVER[request.param]) as both:
        yield both


def ends(peer: socket.socket, data: bytes) -> None:
    """Send data, and end the stream."""
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)


# Each receive.


def test_recv_gives_what_is_there(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        receiving = newthread(ours.recv(100))
        assert not receiving.done
        peer.sendall(b"hello")
        assert await receiving.join() == b"hello"
        ends(peer, b"abcdef")
        assert await ours.recv(4) == b"abcd"
        assert ours.buffered == 2
        assert await ours.recv(4) == b"ef"
        assert await ours.recv(0) == b""
        assert await ours.recv() == b""
        assert await ours.recv() == b"", "the end stays the end"

    run(main)


def test_recvn_gives_exactly_that_many(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(1, 300_000)

    async def main() -> None:
        with beside(ends, peer, data):
            assert await ours.recvn(0) == b""
            assert await ours.recvn(1) == data[:1]
            assert await ours.recvn(200_000) == data[1:200_001]
            assert await ours.recvn(99_999) == data[200_001:]
        with pytest.raises(IncompleteRead) as failure:
            await ours.recvn(1)
        assert failure.value.partial == b""

    run(main)


def test_recvuntil_gives_what_is_before_the_separator(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"one--two----three--;four")
        assert await ours.recvuntil(b"--") == b"one"
        assert await ours.recvuntil(b"--", keep_end=True) == b"two--"
        assert await ours.recvuntil(b"--") == b""
        assert await ours.recvuntil(bytearray(b"--;")) == b"three"
        with pytest.raises(IncompleteRead, match="after 4 bytes") as failure:
            await ours.recvuntil(b";")
        assert failure.value.partial == b"four"
        assert await ours.recvall() == b"four", "the stream still has it"

    run(main)


def test_recvline_ends_at_a_line_feed_with_or_without_a_carriage_return(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"one\r\ntwo\n\n\r\n\rthree\rfour\r\r\nfive\r\nsix\n")
        lines = [b"one", b"two", b"", b"", b"\rthree\rfour\r"]
        for line in lines:
            assert await ours.recvline() == line
        assert await ours.recvline(keep_end=True) == b"five\r\n"
        assert await ours.recvline(keep_end=True) == b"six\n"
        assert await ours.recvline() is None
        assert await ours.recvline() is None

    run(main)


def test_a_last_line_without_an_end_is_not_taken_for_a_line(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"USER me\nDELETE all but")
        assert await ours.recvline() == b"USER me"
        for _ in range(2):
            with pytest.raises(EOFError, match="the stream ended after 14 bytes of a line") as failure:
                await ours.recvline()
            assert isinstance(failure.value, IncompleteRead)
            assert failure.value.partial == b"DELETE all but"
        assert await ours.recv() == b"DELETE all but"
        assert await ours.recvline() is None

    run(main)


def test_recvall_gives_all_to_the_end(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(2, 500_000)

    async def main() -> None:
        with beside(ends, peer, b"first\n" + data):
            assert await ours.recvline() == b"first"
            assert await ours.recvall() == data
        assert await ours.recvall() == b""

    run(main)


def test_recv_into_fills_a_buffer(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        buffer = bytearray(b"..........")
        ends(peer, b"0123456789abcdef\n")
        assert await ours.peek(17) == b"0123456789abcdef\n"
        assert await ours.recv_into(buffer, 4) == 4
        assert buffer == b"0123......"
        with memoryview(buffer) as view, view[5:] as rest:
            assert await ours.recv_into(rest) == 5
        assert buffer == b"0123.45678"
        assert await ours.recv_into(bytearray()) == 0
        for wrong, error in ((b"read only", TypeError), ("text", TypeError)):
            with pytest.raises(error):
                await ours.recv_into(wrong)  # type: ignore[arg-type]
        for number in (11, -1):
            with pytest.raises(ValueError, match="10 bytes" if number > 0 else "negative"):
                await ours.recv_into(buffer, number)
        assert await ours.recvline() == b"9abcdef"
        assert await ours.recv_into(buffer) == 0

    run(main)


def test_recv_into_that_is_given_up_takes_nothing(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        buffer = bytearray(4)
        ours.settimeout(0.01)
        assert ours.gettimeout() == ours.gettimeout("write") == ours.sock.gettimeout() == 0.01
        with pytest.raises(TimeoutError):
            await ours.recv_into(buffer)
        ours.settimeout(None)
        buffer.append(0)  # nobody else refers to it
        receiving = newthread(ours.recv_into(buffer))
        with pytest.raises(BufferError):
            buffer.append(0)
        receiving.cancel()
        with pytest.raises(Cancelled):
            await receiving.join()
        del receiving
        peer.sendall(b"12345")
        assert await ours.recv_into(buffer) == 5
        assert buffer == b"12345"

    run(main)


def test_peek_takes_nothing(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        ends(peer, b"GET / HTTP")
        assert await ours.peek() == b"G"
        assert await ours.peek(3) == b"GET"
        assert await ours.peek(100) == b"GET / HTTP", "fewer where the stream ends"
        assert await ours.recvall() == b"GET / HTTP"
        assert await ours.peek() == b""

    run(main)


def test_what_is_asked_for_is_looked_at_before_anything_happens(pair: Pair) -> None:
    ours, _ = pair
    mistakes: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: ours.recv(-1), ValueError),
        (lambda: ours.recvn(-1), ValueError),
        (lambda: ours.recvn(1.5), TypeError),  # type: ignore[arg-type]
        (lambda: ours.recvn("1"), TypeError),  # type: ignore[arg-type]
        (lambda: ours.peek(-1), ValueError),
        (lambda: ours.recvline(-1), ValueError),
        (lambda: ours.recvall(-1), ValueError),
        (lambda: ours.recvuntil(b""), ValueError),
        (lambda: ours.recvuntil("\n"), TypeError),  # type: ignore[arg-type]
        (lambda: ours.recvuntil(10), TypeError),  # type: ignore[arg-type]
        (lambda: ours.recvuntil(b"\n", -1), ValueError),
    ]
    for wrong, error in mistakes:
        with pytest.raises(error):
            wrong()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_only_a_stream_socket_makes_a_stream() -> None:
    with udp() as datagrams, unix("dgram") as paths, socket.socket() as other:
        for wrong in (datagrams, paths, other, 5, None):
            with pytest.raises(TypeError):
                stream(wrong)  # type: ignore[arg-type]


# Data in any pieces.


class Dribble(TCP):
    """A socket that receives at most `most` bytes at a time, so that pieces are as small as the test wants."""

    __slots__ = ("most",)
    most: int

    def recv(self, n: int) -> Any:
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
        ours.sock.settimeout(0.08)
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


# Sending.


def test_sendall_and_half_close(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(4, 3_000_000)

    async def main() -> None:
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data)
            await ours.sendall(bytearray(b"more"))
            await ours.sendall(b"")
            ours.shutdown()
        assert receiving.outcome() == data + b"more"
        ends(peer, b"and back\n")
        assert await ours.recvline() == b"and back"

    run(main)


def test_what_ends_a_sendall_early_tells_how_far_it_was(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(5, 10_000_000)

    async def main() -> None:
        with pytest.raises(TimeoutError) as failure, timeout(0.01):
            await ours.sendall(data)
        first: int = failure.value.bytes_sent  # type: ignore[attr-defined]
        assert 0 < first < len(data)
        sending = newthread(ours.sendall(data[first:]))
        await sleep(0)
        sending.cancel()
        with pytest.raises(Cancelled) as cancelled:
            await sending.join()
        second: int = first + cancelled.value.bytes_sent
        ours.sock.settimeout(0.01, "write")
        with pytest.raises(TimeoutError) as failure:
            await ours.sendall(data[second:])
        third: int = second + failure.value.bytes_sent  # type: ignore[attr-defined]
        ours.sock.settimeout(None)
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data[third:])
            ours.shutdown()
        assert receiving.outcome() == data, "nothing was lost, nothing came twice"

    run(main)


def test_sendv_joins_small_pieces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    sends: list[int] = []
    really = TCP.sendall

    def sendall(self: TCP, data: Any) -> Any:
        sends.append(len(data))
        return really(self, data)

    monkeypatch.setattr(TCP, "sendall", sendall)
    pieces = [b"%d," % n for n in range(50_000)]

    async def main() -> None:
        with beside(receive_all, peer) as receiving:
            await ours.sendv(pieces)
            await ours.sendv([])
            large_and_small: list[bytes | bytearray] = [b"x" * 100_000, b"", b"y", bytearray(b"z")]
            await ours.sendv(iter(large_and_small))
            ours.shutdown()
        assert receiving.outcome() == b"".join(pieces) + b"x" * 100_000 + b"yz"

    run(main)
    assert len(sends) == len(b"".join(pieces)) // (1 << 16) + 1 + 2


def test_sendv_counts_over_all_pieces(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(6, 10_000_000)
    pieces = [data[at : at + 3000] for at in range(0, len(data), 3000)]

    async def main() -> None:
        with pytest.raises(TimeoutError) as failure, timeout(0.01):
            await ours.sendv(pieces)
        sent: int = failure.value.bytes_sent  # type: ignore[attr-defined]
        assert 0 < sent < len(data)
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data[sent:])
            ours.shutdown()
        assert receiving.outcome() == data

    run(main)


def test_the_timeout_is_for_all_pieces(pair: Pair) -> None:
    """A peer that takes a little now and then does not extend the timeout."""
    ours, peer = pair
    peer.setblocking(False)

    async def take_a_little() -> None:
        while True:
            with suppress(BlockingIOError):
                peer.recv(1 << 18)
            await sleep(0.005)

    async def main() -> None:
        ours.sock.settimeout(0.1, "write")
        taking = newthread(take_a_little())
        with pytest.raises(TimeoutError):
            await ours.sendv(iter(lambda: bytes(1 << 16), None))
        taking.cancel()
        with pytest.raises(Cancelled):
            await taking.join()

    run(main)


def test_sendv_of_pieces_that_fail(pair: Pair) -> None:
    ours, _ = pair

    def pieces() -> Iterator[bytes]:
        yield bytes(1 << 16)
        raise LookupError("no more")

    async def main() -> None:
        with pytest.raises(LookupError) as failure:
            await ours.sendv(pieces())
        assert failure.value.bytes_sent == 1 << 16  # type: ignore[attr-defined]

    run(main)


# One reader, one writer.


def test_one_thread_receives_while_another_sends(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(7, 5_000_000)

    def echo() -> None:
        while block := peer.recv(1 << 16):
            peer.sendall(block)
        peer.shutdown(socket.SHUT_WR)

    async def send() -> None:
        await ours.sendall(data)
        ours.shutdown()

    async def main() -> None:
        with beside(echo):
            sending = newthread(send())
            assert await ours.recvn(len(data)) == data
            assert await ours.recvall() == b""
            await sending.join()

    run(main)


async def refused(operation: Awaitable[Any], match: str) -> None:
    with pytest.raises(Busy, match=match):
        await operation


def test_a_second_reader_is_refused_by_name(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        first = newthread(ours.recvline(), name="the first")
        peer.sendall(b"some")
        while not ours.buffered:
            await sleep(0)
        for second in (ours.recvline(), ours.recv(1), ours.recvn(1), ours.recvall(), ours.peek(), ours.recvuntil(b"x")):
            await refused(second, "thread 'the first' is receiving from this stream already")
        await refused(ours.finish(), "the first")
        await ours.sendall(b"the other direction is free")
        peer.sendall(b" line\nmore\n")
        assert await first.join() == b"some line", "and the first one has lost nothing"
        assert await ours.recvline() == b"more"

    run(main)


def test_a_second_reader_is_refused_between_two_steps_of_the_first(pair: Pair) -> None:
    """The first reader has received a part, and is in the ready queue to continue."""
    ours, peer = pair

    async def main() -> None:
        first = newthread(ours.recvn(2), name="the first")
        peer.sendall(b"1")
        while not ours.buffered:
            await refused(ours.recv(1), "the first")
            await sleep(0)
        await refused(ours.recv(1), "the first")
        peer.sendall(b"2")
        assert await first.join() == b"12"

    run(main)


def test_a_second_writer_is_refused_by_name(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(8, 5_000_000)

    async def main() -> None:
        first = newthread(ours.sendall(data), name="the first")
        assert not first.done
        for second in (ours.sendall(b"x"), ours.sendv([b"x"]), ours.sendall(b"")):
            await refused(second, "thread 'the first' is sending to this stream already")
        with pytest.raises(Busy):
            ours.shutdown()
        ours.shutdown(socket.SHUT_RD)
        await refused(ours.finish(), "the first")
        with beside(receive_all, peer) as receiving:
            await first.join()
            ours.shutdown()
        assert receiving.outcome() == data

    run(main)


def test_a_stream_keeps_no_thread_alive(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        for operation in (ours.recvline(), ours.sendall(b"x")):
            waiting = newthread(operation)
            peer.sendall(b"line\n")
            await waiting.join()
            gone = weakref.ref(waiting)
            del waiting, operation
            await sleep(0)
            assert gone() is None

    run(main)


# The end.


def test_close_wakes_who_waits_and_drops_the_buffer(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"first\nhalf a ")
        assert await ours.recvline() == b"first"
        waiting = newthread(ours.recvline())
        ours.close()
        with pytest.raises(Closed):
            await waiting.join()
        for operation in (ours.recv(1), ours.recvline(), ours.sendall(b"x"), ours.peek()):
            with pytest.raises(Closed):
                await operation
        ours.close()
        assert "closed" in repr(ours)

    run(main)


def test_close_drops_what_nobody_has_asked_for(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"one\ntwo\n")
        assert await ours.recvline() == b"one"
        ours.close()
        with pytest.raises(Closed):
            await ours.recvline()

    run(main)


def test_finish_lets_everything_arrive_though_something_was_not_received() -> None:
    """An immediate close would reset the connection, and data in flight would be lost."""
    data = pattern(9, 2_000_000)

    def peer_sends_and_then_reads(peer: socket.socket) -> bytes:
        peer.sendall(b"a body that nobody reads" * 100)
        return receive_all(peer)

    async def main() -> None:
        with connected() as (ours, peer):
            with beside(peer_sends_and_then_reads, peer) as reading:
                assert await ours.peek() == b"a"
                await ours.sendall(data)
                sending_goes_on = newthread(ours.finish(LIMIT_S))
                received = await socket2.call_in_thread(reading.outcome)
                assert received == data
                peer.close()
                await sending_goes_on.join()
            assert ours.sock.closed

    run(main)


def test_finish_does_not_wait_for_ever(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"one\nand I shall not end")
        assert await ours.recvline() == b"one"
        await ours.finish(0.01)
        with pytest.raises(Closed):
            await ours.recv()
        assert ours.sock.closed
        await ours.finish(0.01)

    run(main)


def test_a_cancelled_finish_closes_all_the_same(pair: Pair) -> None:
    ours, _ = pair

    async def main() -> None:
        finishing = newthread(ours.finish(LIMIT_S))
        finishing.cancel()
        with pytest.raises(Cancelled):
            await finishing.join()
        assert ours.sock.closed

    run(main)


def test_a_stream_that_is_dropped_leaves_no_cycle() -> None:
    async def use(ours: Stream) -> None:
        assert await ours.recvline() == b"line"
        with pytest.raises(IncompleteRead):
            await ours.recvline()
        with pytest.raises(Busy), ours._reading:
            await ours.recvline()

    gc.disable()
    try:
        with connected() as (ours, peer):
            ends(peer, b"line\nrest")
            run(use, ours)
        gone = weakref.ref(ours)
        del ours
        assert gone() is None
    finally:
        gc.enable()
