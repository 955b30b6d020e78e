"""How a WebSocket ends: the codes of Close frames, and the errors that say why it has ended or has not begun."""

from __future__ import annotations

from typing import Any, NamedTuple

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL = 1002
NO_CODE = 1005
LOST = 1006
NOT_UTF8 = 1007
TOO_BIG = 1009
INTERNAL = 1011

MEANINGS = {
    NORMAL: "normal",
    GOING_AWAY: "going away",
    PROTOCOL: "protocol error",
    1003: "unsupported data",
    NO_CODE: "no code",
    LOST: "lost without a Close frame",
    NOT_UTF8: "invalid data",
    1008: "policy violation",
    TOO_BIG: "message too big",
    1010: "extension missing",
    INTERNAL: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}

_REASON_MAX = 123  # bytes: what a control frame has room for, behind the code


class Close(NamedTuple):
    """A Close frame. The code is 1005 if it has none."""

    code: int
    reason: str


class Violation(Exception):
    """The peer has sent what it must not. `code`: of our Close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class WebSocketClosed(ConnectionError):
    """The WebSocket is closed, or is being closed.

    `code`, `reason`: as in the Close frame of whoever closed it first. 1005: a Close frame without a code; 1006: the
    connection ended without a Close frame. `by_peer`: whether the peer has closed it. `__cause__` is the error of the
    connection, if there was one.
    """

    def __init__(self, code: int, reason: str = "", by_peer: bool = False) -> None:
        meaning = MEANINGS.get(code)
        shown = f"{code} ({meaning})" if meaning else str(code)
        who = " by the peer" if by_peer else ""
        super().__init__(f"the WebSocket was closed{who}: {shown}{f': {reason}' if reason else ''}")
        self.code = code
        self.reason = reason
        self.by_peer = by_peer

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.reason, self.by_peer), self.__dict__


class End(NamedTuple):
    """How a WebSocket has ended. `wanted`: because this program has closed it. `cause`: what has broken it."""

    code: int
    reason: str
    by_peer: bool = False
    wanted: bool = False
    cause: BaseException | None = None

    @property
    def is_normal(self) -> bool:
        """Whether it is no error for who waits for messages: there are no more."""
        return self.wanted or (self.by_peer and self.code in (NORMAL, GOING_AWAY, NO_CODE))

    def error(self, fd: int) -> WebSocketClosed:
        """Return it as an error for one caller. `fd`: which socket it is about."""
        error = WebSocketClosed(self.code, self.reason, self.by_peer)
        error.__cause__ = self.cause
        error.socket_fd = fd  # type: ignore[attr-defined]
        return error


def may_be_received(code: int) -> bool:
    """Whether a Close frame may have this code. RFC 6455, 7.4."""
    return 3000 <= code < 5000 or (1000 <= code <= 1014 and code not in (1004, NO_CODE, LOST))


def check_close(code: int, reason: str) -> None:
    """Raise ValueError if a program cannot close with these."""
    if not may_be_received(code):
        raise ValueError(f"not a code that a WebSocket can be closed with: {code!r}")
    if len(reason.encode()) > _REASON_MAX:
        raise ValueError(f"the reason of a close has at most {_REASON_MAX} bytes as UTF-8")


def shortened(reason: str) -> str:
    """Return as much of the reason as a Close frame has room for."""
    return reason.encode()[:_REASON_MAX].decode(errors="ignore")
