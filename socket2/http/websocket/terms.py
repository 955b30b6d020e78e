"""What a program allows the peer of a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass

from ...threads.timers import duration

MAX_BYTES = 1 << 20
PING_S = 20.0
CLOSE_S = 10.0

# The longest wait that a timer counts.
_LONGEST_S = 2.0**31


@dataclass(slots=True)
class Terms:
    """What a program allows the peer of a WebSocket. Raises ValueError, TypeError.

    `ping_interval_s`, `ping_timeout_s`: None means never. So do longer times than a timer counts.
    """

    max_bytes: int | None
    ping_interval_s: float | None
    ping_timeout_s: float | None
    close_s: float

    def __post_init__(self) -> None:
        if self.max_bytes is not None and self.max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative, but it is {self.max_bytes!r}")
        self.ping_interval_s = _limited("ping_interval_s", self.ping_interval_s)
        self.ping_timeout_s = _limited("ping_timeout_s", self.ping_timeout_s)
        self.close_s = min(duration(self.close_s), _LONGEST_S)


def _limited(name: str, seconds: float | None) -> float | None:
    if seconds is None:
        return None
    value = duration(seconds)
    if not value:
        raise ValueError(f"{name} must be more than 0 seconds, or None")
    return value if value < _LONGEST_S else None
