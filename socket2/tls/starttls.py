"""TLS in the middle of a connection: after a command in plain text, or behind a PROXY header.

What came before TLS is not protected. So it is looked at when the handshake begins, not earlier, and nobody else may
use the stream from then on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from pollers import Operation, operation

from ..streams.stream import Stream, stream
from ..streams.transport import AnyByteStream, check_byte_stream, check_idle, note_socket
from .arguments import HANDSHAKE_S, check_arguments
from .layer import TLS

if TYPE_CHECKING:
    import ssl


@overload
def starttls(  # type: ignore[overload-overlap]  # a Stream is a ByteStream, too
    stream: Stream,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    session: ssl.SSLSession | None = None,
    ragged_end: bool = False,
    handshake_s: float | None = HANDSHAKE_S,
    buffered: Literal["refuse", "tls"] = "refuse",
) -> Operation[Stream]: ...
@overload
def starttls(
    stream: AnyByteStream,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    session: ssl.SSLSession | None = None,
    ragged_end: bool = False,
    handshake_s: float | None = HANDSHAKE_S,
    buffered: Literal["refuse", "tls"] = "refuse",
) -> Operation[TLS]: ...
def starttls(
    stream: Any,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    session: ssl.SSLSession | None = None,
    ragged_end: bool = False,
    handshake_s: float | None = HANDSHAKE_S,
    buffered: Literal["refuse", "tls"] = "refuse",
) -> Operation[Any]:
    """Begin TLS on an existing connection, make the handshake, and return the connection inside TLS.

    `stream`: a Stream, for which a new Stream is returned, or another byte stream, for which a TLS object is. Use only
    the result from now on. All other arguments: as in connect(); a server needs `server_side=True` and a context such
    as server_context() makes. A client's context asks for a certificate with the name `server_hostname`.

    `buffered`: what becomes of bytes that a Stream has received and not given out. They came in plain text, so an
    attacker may have put them there as if they were protected (RFC 3207, section 6). "refuse": raises
    ConnectionAbortedError if there are any, and leaves the stream as it was. "tls": they are the beginning of TLS, for
    example behind a PROXY header.

    An error, timeout or cancellation in the handshake closes the stream. Raises as TLS.handshake() does; Busy if
    another thread receives or sends, which leaves the stream as it was. The call raises ValueError if the context
    checks names and there is no `server_hostname`, or if the context is for the other side.
    """
    if buffered not in ("refuse", "tls"):
        raise ValueError(f"buffered must be 'refuse' or 'tls', not {buffered!r}")
    check_byte_stream(stream)
    make = maker(context, server_side, server_hostname, session, ragged_end, handshake_s)
    return _as_stream(stream, make, buffered == "tls") if isinstance(stream, Stream) else begun(stream, make)


def maker(
    context: ssl.SSLContext,
    server_side: bool,
    server_hostname: str | None,
    session: ssl.SSLSession | None,
    ragged_end: bool,
    handshake_s: float | None,
) -> Callable[[AnyByteStream], TLS]:
    """Return a function that makes a TLS object over a byte stream, for begun(). Raises now what that would raise."""
    check_arguments(context, server_side, server_hostname, session, handshake_s)
    return partial(
        TLS,
        context=context,
        server_side=server_side,
        server_hostname=server_hostname,
        session=session,
        ragged_end=ragged_end,
        handshake_s=handshake_s,
    )


@operation
def _as_stream(lines: Stream, make: Callable[[AnyByteStream], TLS], takes_buffer: bool) -> Generator[Any, None, Stream]:
    if takes_buffer and lines.buffered:
        return stream((yield from begun(lines, make)))
    return stream((yield from lines.alone(partial(_below, lines, make))))


def _below(lines: Stream, make: Callable[[AnyByteStream], TLS]) -> Generator[Any, None, TLS]:
    """Begin TLS over the byte stream below. What the Stream has received would be lost."""
    if lines.buffered:
        error = ConnectionAbortedError(
            errno.ECONNABORTED, f"{lines.buffered} bytes came in plain text before TLS could begin"
        )
        note_socket(error, lines)
        raise error
    return (yield from begun(lines.sock, make))


@operation
def begun(below: AnyByteStream, make: Callable[[AnyByteStream], TLS]) -> Generator[Any, None, TLS]:
    """Begin TLS over a byte stream that nobody uses, make the handshake, and return the TLS object."""
    check_idle(below)  # now, because a handshake that fails closes it
    conn = make(below)
    yield from conn.handshake()
    return conn
