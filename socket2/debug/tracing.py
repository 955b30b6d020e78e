"""Logs the bytes that pass through one socket.

The traced socket gets a handle that logs. Other sockets are not affected and pay nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pollers import Address, Closed, Operation, operation

from ..sockets.address import format_address
from ..sockets.socket import Socket, exchange_handle

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

_LINE_BYTES = 16


class Writable(Protocol):
    def write(self, text: str, /) -> Any: ...


class Trace:
    """Logs the traffic of a socket until stop() or the end of its block: `with trace(sock): ...`."""

    def __init__(self, sock: Socket, to: Writable | None, max_bytes: int) -> None:
        if sock.closed:
            raise Closed()
        self._sock = sock
        self._to = to
        self._max_bytes = max_bytes
        self._ends = _ends(sock)
        inner = sock.handle
        self._inner = inner
        self._traced: Any = TracedHandle(inner, self)
        exchange_handle(sock, inner, self._traced)

    def stop(self) -> None:
        """Stop tracing. Operations in flight are still logged when they end."""
        exchange_handle(self._sock, self._traced, self._inner)

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def note(self, what: str, data: bytes = b"") -> None:
        """Write an event, with its bytes below."""
        lines = [f"{datetime.now():%H:%M:%S.%f} {self._ends}: {what}", *_dump(data[: self._max_bytes])]
        if len(data) > self._max_bytes:
            lines.append(f"    ... and {len(data) - self._max_bytes} more")
        with suppress(Exception):  # a trace that cannot be written must not end the connection
            (self._to if self._to is not None else sys.stderr).write("".join(f"{line}\n" for line in lines))


class TracedHandle:
    """A handle that logs operations when they end. Otherwise it behaves like the handle inside."""

    __slots__ = ("_inner", "_trace")

    def __init__(self, inner: Any, trace: Trace) -> None:
        self._inner = inner
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        return self._watch("recv", self._inner.recv(n, owner), self._received)

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        return self._watch("recv_into", self._inner.recv_into(buffer, n, owner), lambda n: self._received(buffer, n))

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        return self._watch(
            "recvfrom", self._inner.recvfrom(n, owner), lambda got: self._datagram("from", got[1], got[0])
        )

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        return self._watch(
            "recvfrom_into",
            self._inner.recvfrom_into(buffer, n, owner),
            lambda got: self._datagram("from", got[1], buffer, got[0]),
        )

    def accept(self, owner: object = None, /) -> Operation[tuple[Any, Address]]:
        return self._watch("accept", self._inner.accept(owner), lambda got: self._note(f"accepted {_text(got[1])}"))

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        connecting = self._inner.connect(address, owner)
        return self._watch("connect", connecting, lambda _: self._note(f"connected to {_text(address)}"))

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        return self._watch("send", self._inner.send(data, owner), lambda n: self._sent(data, n), data)

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        return self._watch("sendall", self._inner.sendall(data, owner), lambda _: self._sent(data), data)

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        return self._watch(
            "sendto", self._inner.sendto(data, address, owner), lambda n: self._datagram("to", address, data, n)
        )

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        sending = self._inner.sendfile(fd, offset, count, owner)
        return self._watch("sendfile", sending, lambda n: self._note(f"sent {n} bytes of a file from {offset} on"))

    def close(self) -> None:
        if self._inner.fileno() >= 0:
            self._note("closed")
        self._inner.close()

    @operation
    def _watch(
        self, name: str, inner: Operation[T], ended: Callable[[T], None], data: ReadableBuffer = b""
    ) -> Generator[Any, None, T]:
        try:
            result = yield from inner
        except BaseException as error:
            sent = getattr(error, "bytes_sent", 0)
            if sent:
                self._sent(data, sent)
            self._note(f"{name}: {type(error).__name__}: {error}")
            raise
        ended(result)
        return result

    def _note(self, what: str, data: bytes = b"") -> None:
        self._trace.note(what, data)

    def _received(self, data: ReadableBuffer, n: int | None = None) -> None:
        octets = _octets(data, n)
        self._note(f"received {len(octets)} bytes" if octets else "received the end of the stream", octets)

    def _sent(self, data: ReadableBuffer, n: int | None = None) -> None:
        octets = _octets(data, n)
        self._note(f"sent {len(octets)} bytes", octets)

    def _datagram(self, way: str, address: Address, data: ReadableBuffer, n: int | None = None) -> None:
        octets = _octets(data, n)
        self._note(f"datagram of {len(octets)} bytes {way} {_text(address)}", octets)


def _octets(data: ReadableBuffer, n: int | None) -> bytes:
    with memoryview(data) as view, view.cast("B") as octets:
        return bytes(octets[:n])


def _dump(data: bytes) -> Iterator[str]:
    """Yield lines of sixteen bytes, in hexadecimal and in ASCII."""
    for at in range(0, len(data), _LINE_BYTES):
        piece = data[at : at + _LINE_BYTES]
        text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in piece)
        yield f"    {at:04x}  {piece.hex(' '):<{3 * _LINE_BYTES}} {text}"


def _ends(sock: Socket) -> str:
    try:
        here = format_address(sock.getsockname())
    except OSError:
        here = ""
    try:
        return f"{here} <> {format_address(sock.getpeername())}"
    except OSError:
        return here or repr(sock)


def _text(address: Address) -> str:
    return format_address(address) if address else "an unnamed socket"
