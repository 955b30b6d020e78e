"""Ranges of bytes: which parts of a representation a request wants, and how an answer contains them. RFC 9110, 14.

A few bytes of a request can ask for any number of parts. So an answer with several parts is never longer than the whole
representation, and parts that overlap, or are many, are no reason to send any.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .fields import Fields

RANGES_MAX = 32
"""A request for more parts gets the whole representation."""

# More digits are no position in any file.
_DIGITS_MAX = 18

_SET = re.compile(r"bytes=([0-9\-, \t]+)", re.ASCII | re.IGNORECASE).fullmatch
_RANGE = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII).fullmatch


class Part(NamedTuple):
    """A part of a representation: `size` bytes, at least 1, from the byte `first` on."""

    first: int
    size: int

    def said(self, complete: int) -> str:
        """Return the value of Content-Range. `complete`: the size of the whole representation."""
        return f"bytes {self.first}-{self.first + self.size - 1}/{complete}"


class NotSatisfiable(Exception):
    """None of the parts is there."""


def parts_of(fields: Fields, size: int) -> list[Part]:
    """Return the parts of a representation that a GET wants, in the order of the request; [] for all of it.

    `size`: in bytes. A Range that is malformed, or too expensive, is ignored. Raises NotSatisfiable.
    """
    value = fields.get("range")
    found = _SET(value) if value is not None else None
    if found is None:
        return []
    wanted = [text for each in found[1].split(",") if (text := each.strip(" \t"))]
    if not 0 < len(wanted) <= RANGES_MAX:
        return []
    parts = []
    for text in wanted:
        match = _RANGE(text)
        if match is None:
            return []
        first, last = match.groups()
        if not (first or last) or (first and last and _position(last) < _position(first)):
            return []
        part = _part(first, last, size)
        if part is not None:
            parts.append(part)
    if not parts:
        raise NotSatisfiable
    return [] if size == 0 or _overlap(parts) else parts


def _position(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def _part(first: str, last: str, size: int) -> Part | None:
    """Return the part, None if it is not there. A suffix of what is empty is all of it."""
    if not first:
        length = min(_position(last), size)
        return Part(size - length, length) if _position(last) else None
    begin = _position(first)
    end = min(_position(last), size - 1) if last else size - 1
    return Part(begin, end - begin + 1) if begin < size else None


def _overlap(parts: list[Part]) -> bool:
    ordered = sorted(parts)
    return any(one.first + one.size > other.first for one, other in pairwise(ordered))


class Multipart:
    """The body of an answer with several parts: multipart/byteranges. RFC 9110, 14.6."""

    def __init__(self, parts: list[Part], complete: int, kind: str, boundary: str) -> None:
        """`complete`: the size of the representation; `kind`: its Content-Type. `boundary` is in none of the parts."""
        line = f"\r\n--{boundary}\r\ncontent-type: {kind}\r\ncontent-range: "
        self.heads = [f"{line}{part.said(complete)}\r\n\r\n".encode("latin-1") for part in parts]
        """What comes before each of the parts."""
        self.heads[0] = self.heads[0][2:]
        self.end = f"\r\n--{boundary}--\r\n".encode("latin-1")
        """What comes after the last one."""
        self.kind = f"multipart/byteranges; boundary={boundary}"
        """The Content-Type of the answer."""
        self.length = sum(map(len, self.heads)) + sum(part.size for part in parts) + len(self.end)
