"""Errors as LuaSocket spells them: what is an exception below is a text in a result here.

A text it has no spelling for is the system's. Knows which exceptions are no news from the network, but a mistake.
"""

from __future__ import annotations

import errno
import os
import socket

from pollers import Busy, Closed


class Message(str):
    """An error's text, which compares as text: `err == "closed"`.

    `errno` is the system's number, None where it has none. It tells what the text does not: "closed" is the end of the
    stream without one, a reset with ECONNRESET, our own close() with EBADF.
    """

    __slots__ = ("errno",)

    errno: int | None

    def __new__(cls, text: str, errno: int | None = None) -> Message:
        message = super().__new__(cls, text)
        message.errno = errno
        return message

    def __getnewargs__(self) -> tuple[str, int | None]:  # type: ignore[override]
        return str(self), self.errno


_SPELLED = {
    errno.EACCES: "permission denied",
    errno.EADDRINUSE: "address already in use",
    errno.ECONNABORTED: "closed",
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "closed",
    errno.EISCONN: "already connected",
    errno.EPIPE: "closed",
    errno.ETIMEDOUT: "timeout",
}

NO_NAME = "host or service not provided, or not known"
NO_SERVICE = "service not supported for socket type"
NO_HOST = "host not found"

_LOOK_UP = {
    getattr(socket, name, None): text
    for name, text in (
        ("EAI_AGAIN", "temporary failure in name resolution"),
        ("EAI_BADFLAGS", "invalid value for ai_flags"),
        ("EAI_FAIL", "non-recoverable failure in name resolution"),
        ("EAI_FAMILY", "ai_family not supported"),
        ("EAI_MEMORY", "memory allocation failure"),
        ("EAI_NODATA", NO_NAME),
        ("EAI_NONAME", NO_NAME),
        ("EAI_OVERFLOW", "argument buffer overflow"),
        ("EAI_SERVICE", NO_SERVICE),
        ("EAI_SOCKTYPE", "ai_socktype not supported"),
    )
}


def ended() -> Message:
    """The end of the stream, which is an error to LuaSocket."""
    return Message("closed")


def message_of(error: OSError) -> Message:
    """Return an error's message. Raises the error again if it is the program's mistake: a direction in use."""
    if isinstance(error, Busy):
        raise error
    if isinstance(error, Closed):
        return Message("closed", errno.EBADF)
    if isinstance(error, socket.gaierror):
        return Message(_LOOK_UP.get(error.errno) or str(error.strerror), error.errno)
    if error.errno is None:
        return Message("timeout" if isinstance(error, TimeoutError) else error.strerror or str(error))
    return Message(_SPELLED.get(error.errno) or os.strerror(error.errno), error.errno)


def system_message(error: OSError) -> Message:
    """Return the system's own text: what calls that LuaSocket passes straight on to the system say."""
    if error.errno is None:
        return Message(str(error))
    return Message(os.strerror(error.errno), error.errno)
