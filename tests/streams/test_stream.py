"""Streams over real sockets: data in any pieces, and what an early end leaves behind."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import (
    TCP,
    Cancelled,
    IncompleteRead,
    Stream,
    newthread,
    stream,
    tcp,
    udp,
    unix,
)

from ..interop.peers import LIMIT_S, beside, pattern, run

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
