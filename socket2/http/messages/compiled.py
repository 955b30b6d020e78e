"""Heads in C, if that part was built: which are well-formed, and the usual requests as a whole."""

from __future__ import annotations

from ...threads.native import in_c

compiled = in_c("_heads")


class Compiled:
    """A checker in C."""

    __slots__ = ("check", "usual")

    def __init__(self, is_response: bool) -> None:
        assert compiled is not None
        self.check = compiled.is_response if is_response else compiled.is_request
        self.usual = None if is_response else compiled.request
