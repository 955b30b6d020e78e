"""What a type checker knows of byte streams: code for any of them, with `await` and with `yield from`.

tests/programs/test_types.py has mypy check this module with --strict, and it runs. So each `assert_type` holds.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Generator
from typing import Any, Literal, assert_type

import pytest

from socket2 import (
    TCP,
    TLS,
    AnyByteStream,
    ByteStream,
    FdStream,
    Operation,
    Stream,
    newthread,
    pipe,
    run,
    socketpair,
    starttls,
    stream,
)


async def copied(source: ByteStream, sink: ByteStream) -> int:
    count = 0
    while data := await source.recv():
        assert_type(data, bytes)
        await sink.sendall(data)
        count += len(data)
    room = bytearray(1)
    assert_type(await source.recv_into(room), int)
    sink.shutdown()
    return count


def copied_in_a_generator(source: ByteStream, sink: ByteStream) -> Generator[Any, Any, int]:
    count = 0
    while data := (yield from source.recv()):
        assert_type(data, bytes)
        yield from sink.sendall(data)
        count += len(data)
    sink.shutdown()
    return count


def as_operation(source: ByteStream) -> Operation[bytes]:
    return source.recv(100)


class Upper:
    """A class of a program, with coroutines: what is above it uses a Stream of it."""

    def __init__(self, below: ByteStream) -> None:
        self._below = below

    @property
    def closed(self) -> bool:
        return self._below.closed

    def fileno(self) -> int:
        return self._below.fileno()

    async def recv(self, n: int, /) -> bytes:
        return (await self._below.recv(n)).upper()

    async def recv_into(self, buffer: Any, n: int | None = None, /) -> int:
        raise NotImplementedError

    def sendall(self, data: Any, /) -> Generator[Any, Any, None]:
        yield from self._below.sendall(bytes(data).upper())

    def shutdown(self, how: int, /) -> None:
        self._below.shutdown(how)

    def close(self) -> None:
        self._below.close()

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        self._below.settimeout(seconds, direction)

    def gettimeout(self, direction: Literal["read", "write"] = "read") -> float | None:
        return self._below.gettimeout(direction)


def over_any(below: AnyByteStream) -> ByteStream:
    return stream(below)


def all_of_them(tcp: TCP, tls: TLS, lines: Stream, fd: FdStream, upper: Upper) -> list[AnyByteStream]:
    """mypy accepts each as what it is."""
    narrow: list[ByteStream] = [tcp, tls, lines, fd]
    narrow.append(upper)  # type: ignore[arg-type]
    starttls(upper, None)  # type: ignore[call-overload]
    return [*narrow, upper]


@pytest.mark.parametrize("copy", [copied, copied_in_a_generator])
@pytest.mark.parametrize("kind", ["socket", "stream", "class of a program"])
def test_code_for_any_byte_stream(copy: Callable[[ByteStream, ByteStream], Any], kind: str) -> None:
    def main() -> Generator[Any, Any, None]:
        one, source = socketpair()
        sink, other = socketpair()
        wrap: dict[str, Callable[[ByteStream], ByteStream]] = {
            "socket": lambda sock: sock,
            "stream": stream,
            "class of a program": lambda sock: over_any(Upper(sock)),
        }
        with one, other:
            from_, to = wrap[kind](source), wrap[kind](sink)
            copying = newthread(copy(from_, to))
            yield from one.sendall(b"data")
            one.shutdown()
            data = yield from stream(other).recvall()
            assert data == (b"DATA" if kind == "class of a program" else b"data")
            assert (yield from copying.join()) == 4
            from_.close()
            to.close()

    run(main)


@pytest.mark.parametrize("kind", [TCP, TLS, Stream, FdStream])
def test_a_receive_without_a_number(kind: type[ByteStream]) -> None:
    """It is the same for all of them."""
    assert inspect.signature(kind.recv).parameters["n"].default == 1 << 16


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
def test_a_pipe() -> None:
    def main() -> Generator[Any, Any, None]:
        reading, writing = pipe()
        with reading, writing:
            yield from writing.sendall(b"data")
            assert (yield from as_operation(reading)) == b"data"

    run(main)
