"""What the two directions of a closed handle have in its place, so that there is no cycle of the three."""

from __future__ import annotations

from ..operation import Address, Handle
from .interface import Loop


class Gone:
    """A handle of which nothing is left but its poller."""

    __slots__ = ("armed", "poller")

    fd = -1

    def __init__(self, poller: Loop) -> None:
        self.armed = 0
        self.poller = poller

    def keep(self, accepted: tuple[Handle, Address]) -> None:
        accepted[0].close()

    def told(self, error: OSError) -> OSError:
        return error
