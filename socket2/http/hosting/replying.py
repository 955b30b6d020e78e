"""What a WSGI application says of its answer: start_response(), write(), and what is wrong with them.

This module sends nothing. Whoever runs the application does, in an OS thread or in the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias

from ..messages.outgoing import Written

ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]"

# Fields of one connection (RFC 9110, 7.6.1), which are the server's. PEP 3333 calls it an error to set one.
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)


class Reply:
    """An answer that an application makes. A subclass defines how to write.

    `fields`: None before start_response(). `begun`: whether something of it was sent, so that it cannot change.
    """

    __slots__ = ("begun", "fields", "status")

    def __init__(self) -> None:
        self.status = 0
        self.fields: Written | None = None
        self.begun = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Be the function that an application gets. Raises ValueError, TypeError for what cannot be sent."""
        try:
            if exc_info is not None and exc_info[1] is not None:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            elif self.fields is not None:
                raise RuntimeError("start_response() was called again, but without exc_info")
        finally:
            del exc_info  # its traceback may have this frame: avoid a cycle
        self.fields = _checked(headers)
        self.status = _status_of(status)
        return self.write

    def write(self, data: bytes) -> object:
        """Be the function that start_response() returns."""
        raise NotImplementedError

    def started(self) -> Written:
        """Return the fields. Raises RuntimeError before start_response()."""
        if self.fields is None:
            raise RuntimeError("the application has not called start_response()")
        return self.fields


def _status_of(status: Any) -> int:
    if not isinstance(status, str):
        raise TypeError(f"a status must be a str such as '200 OK', not {status!r}")
    number, _, _ = status.partition(" ")
    if len(number) != 3 or not (number.isascii() and number.isdecimal()) or number < "200":
        raise ValueError(f"a status must be three digits from 200 on and a reason, not {status!r}")
    return int(number)


def _checked(headers: Any) -> Written:
    if not isinstance(headers, list):
        raise TypeError(f"the headers must be a list of pairs, not {headers!r}")
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"the name and value of a header must be str, not {name!r} and {value!r}")
    hop_by_hop = [name for name, _ in headers if name.lower().encode("latin-1", "replace") in _HOP_BY_HOP]
    if hop_by_hop:
        raise ValueError(f"{hop_by_hop[0]} is for the server only: PEP 3333 forbids hop-by-hop headers")
    return Written(headers)


def octets(data: Any) -> bytes:
    """Return a piece of an answer's body. Raises TypeError if it is none."""
    if not isinstance(data, bytes):
        raise TypeError(f"the body of an answer must consist of bytes, not {type(data).__name__}")
    return data
