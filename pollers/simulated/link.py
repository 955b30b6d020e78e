"""One direction of the way between two hosts: how long packets take, and which are lost.

It knows nothing of protocols: TCP sends again what is lost, UDP does not.
"""

from __future__ import annotations

from random import Random
from typing import Any

_QUALITIES = {"latency_s", "jitter_s", "bandwidth_Bps", "loss", "duplicate", "reorder", "up"}


class Link:
    """The way from `source` to `target`, the names of two hosts. Its attributes may be changed at any time.

    `latency_s`: the least time that a packet takes. `jitter_s`: up to this much is added, by chance. `bandwidth_Bps`:
    bytes per second; None: no limit. `loss`, `duplicate`, `reorder`: the parts of the packets, from 0 to 1, that are
    lost, come twice, or come later than others that were sent after them. TCP is made slower by them, and nothing else.
    `up`: False loses everything, also what is on the way.
    """

    latency_s: float
    jitter_s: float
    bandwidth_Bps: float | None
    loss: float
    duplicate: float
    reorder: float
    up: bool
    instant: bool

    def __init__(self, source: str, target: str, random: Random) -> None:
        self.source = source
        self.target = target
        self.lost = 0
        """How many packets were lost."""
        self._random = random
        self._free_at = 0.0  # when the last packet has left
        self.__dict__.update(latency_s=0.0, jitter_s=0.0, bandwidth_Bps=None, loss=0.0, duplicate=0.0, reorder=0.0)
        self.up = True

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        if name in _QUALITIES:
            one = self.__dict__
            slow = one["latency_s"] or one["jitter_s"] or one["bandwidth_Bps"]
            self.__dict__["instant"] = not (slow or one["loss"] or one["duplicate"] or one["reorder"]) and one["up"]

    def delay_s(self, size: int, now_s: float) -> float | None:
        """Return how long a packet of `size` bytes takes that is sent now, None if it is lost."""
        if not self.up or (self.loss and self._random.random() < self.loss):
            self.lost += 1
            return None
        delay_s = self.latency_s
        if self.jitter_s:
            delay_s += self._random.random() * self.jitter_s
        if self.bandwidth_Bps:
            begins = max(now_s, self._free_at)
            self._free_at = begins + size / self.bandwidth_Bps
            delay_s += self._free_at - now_s
        return delay_s

    def happens(self, part: float) -> bool:
        """Return whether something happens that does so in `part` of all cases."""
        return part > 0 and self._random.random() < part

    def __repr__(self) -> str:
        return f"<link {self.source} -> {self.target}{'' if self.up else ', down'}>"
