"""What goes wrong with messages: the peer's mistakes, and limits that it exceeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class ProtocolError(Exception):
    """The peer has sent what is no HTTP/1.1, or more than a limit allows. The connection cannot be used again.

    `status`: how a server answers it: 400 for a malformed message, 408, 413, 414, 417, 431, 501 or 505. A refused
    WebSocket has 403, 405 or 426. `headers`: fields of that answer.
    """

    def __init__(
        self, reason: str, status: int = 400, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.status, self.headers), self.__dict__
