"""Errors in LuaSocket's words: an exception below becomes a text in a result here.

If LuaSocket has no text for an error, the system's is used. An exception that means a mistake in the program is raised,
not turned into a text.
"""

from __future__ import annotations

import errno
import os
import socket

from pollers import Busy, Closed


class Message(str):
    """The text of an error. It compares as text: `err == "closed"`.

    `errno` is the system's number, None if there is none. It distinguishes cases with the same text: "closed" has no
    errno at the end of the stream, ECONNRESET after a reset, and EBADF after our own close().
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
    """Return the message for the end of the stream, which LuaSocket treats as an error."""
    return Message("closed")


def message_of(error: OSError) -> Message:
    """Return the message for an error. Busy is a mistake in the program, so it is raised again."""
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
    """Return the system's own text, for calls whose errors LuaSocket passes on from the system."""
    if error.errno is None:
        return Message(str(error))
    return Message(os.strerror(error.errno), error.errno)
