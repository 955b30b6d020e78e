"""Status codes: their reason phrases, and which answers have no body."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus

_REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
_REASONS |= {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def reason_of(status: int) -> str:
    """Return the standard reason phrase, "" if there is none."""
    return _REASONS.get(status, "")


@lru_cache(maxsize=1024)
def status_line(status: int) -> bytes:
    """Return the first line of an answer, with its end. Raises ValueError if `status` is not from 100 to 999."""
    number = int(status)
    if not 100 <= number <= 999:
        raise ValueError(f"a status is a number from 100 to 999, not {status!r}")
    return f"HTTP/1.1 {number} {reason_of(number)}\r\n".encode("ascii")


def has_no_body(status: int) -> bool:
    """Whether an answer with this status never has a body, whatever its fields say. RFC 9110, 6.4.1."""
    return status < 200 or status in (204, 304)
