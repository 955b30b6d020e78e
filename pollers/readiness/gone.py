"""A substitute for a closed handle. Its two directions refer to it, so that they form no cycle with the handle."""

from __future__ import annotations

from ..operation import Address, Handle
from .interface import Loop


class Gone:
    """What remains of a closed handle: its poller."""

    __slots__ = ("ends", "poller")

    fd = -1

    def __init__(self, poller: Loop) -> None:
        self.ends = 0
        self.poller = poller

    def keep(self, accepted: tuple[Handle, Address]) -> None:
        accepted[0].close()

    def told(self, error: OSError) -> OSError:
        return error
