"""What a handler has answered, in numbers: by method and class of the status, how long it took, how much was sent."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from ...sockets.address import SocketAddress
from ...threads.inventory import enroll
from ...threads.lock import lock
from ..messages.heads import RequestHead

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of the histogram of durations, as Prometheus has them by default, and two more."""

_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


class Tally:
    """Counts the answers of one handler. Several OS threads may use it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers: dict[tuple[str, int], int] = {}
        self._durations = [0] * (len(BOUNDS_S) + 1)
        self._duration_s = 0.0
        self._sent = 0
        self._cut_off = 0

    def note(
        self,
        head: RequestHead | None,
        client: SocketAddress,
        status: int,
        sent: int,
        seconds: float,
        is_complete: bool,
    ) -> None:
        """Count an answer. The arguments are those of AccessLog.note(). An upgraded connection has no duration."""
        key = head.method if head is not None else "none", min(status // 100, 5)
        at = bisect_left(BOUNDS_S, seconds)
        with lock:
            count = self._answers.get(key)
            self._answers[key] = (count or 0) + 1
            self._sent += sent
            self._cut_off += not is_complete
            if status != 101 and (head is None or head.method != "CONNECT"):
                self._durations[at] += 1
                self._duration_s += seconds
        if count is None:
            enroll(self)  # here, because only objects of this process are on the roll: workers are forked before

    def facts(self) -> dict[str, Any]:
        """Return the numbers as JSON data. For the other rooms of socket2."""
        with lock:
            answers, durations = dict(self._answers), list(self._durations)
            numbers = {"sent_bytes": self._sent, "cut_off": self._cut_off, "duration_s": self._duration_s}
        return {
            "handler": self._name,
            "answers": [(method, _CLASSES[status], count) for (method, status), count in answers.items()],
            "bounds_s": BOUNDS_S,
            "durations": durations,
        } | numbers
