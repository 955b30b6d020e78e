"""Which heads are well-formed, in Python: used where others are missing, and to say what is wrong with a head.

A head is complete: it ends with an empty line. Its verdict is that of llhttp without any leniency, for all heads that
`heads` has not refused before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from .bounds import Limits

_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELDS = rb"(?:" + _NAME + rb":[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+"

_REQUEST = re.compile(_NAME + rb" [!-~]++ HTTP/1\.[01]\r\n" + _FIELDS + rb"\r\n").fullmatch
_RESPONSE = re.compile(rb"HTTP/1\.[01] [0-9]{3}(?: [^\x00-\x08\x0a-\x1f\x7f]*+)?\r\n" + _FIELDS + rb"\r\n").fullmatch
_TRAILERS = re.compile(_FIELDS + rb"\r\n").fullmatch

_FIELD_NAME = re.compile(_NAME).fullmatch
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

# What cannot come in a head at any place. A CR or LF at the edge of a piece may still get its partner.
_LONELY = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n").search


class Checker(Protocol):
    """Decides which heads of one kind are well-formed. Any OS thread may use it.

    `usual`: makes a request of a complete head and Limits, if it is a usual one, else returns None; None if there is
    no such function.
    """

    @property
    def usual(self) -> Callable[[bytes, Limits], Any] | None: ...

    def check(self, head: bytes, /) -> object:
        """Return something true if the head is well-formed."""


class Pattern:
    """A checker that is a regular expression."""

    __slots__ = ("check", "usual")

    def __init__(self, is_response: bool) -> None:
        self.usual = None
        self.check = _RESPONSE if is_response else _REQUEST


def are_trailers(block: bytes) -> bool:
    """Whether these are lines of fields, with the empty line behind them."""
    return _TRAILERS(block) is not None


def lonely(piece: bytes) -> bool:
    """Whether a piece of an incomplete head has a byte that no head has: a control character, or half a line end."""
    return _LONELY(piece) is not None


def problem_of(head: bytes) -> str:
    """Say what is wrong with a malformed head, in a few words and without its content."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if b"\n" in head.replace(b"\r\n", b""):
        return "a line ends with LF instead of CR LF"
    if _CONTROL(lines[0]):
        return "the first line has a control character"
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if line.startswith((b" ", b"\t")):
            return "a field goes on in the next line"
        if not colon:
            return "a line of the head has no colon"
        if name != name.rstrip(b" \t"):
            return "a blank is between a field's name and the colon"
        if not _FIELD_NAME(name):
            return "the name of a field is not a token"
        if _CONTROL(value):
            return "the value of a field has a control character"
    return "the head is malformed"
