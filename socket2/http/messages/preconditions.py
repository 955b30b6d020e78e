"""Conditional requests: whether a client has the present version already, or means another one. RFC 9110, 13."""

from __future__ import annotations

import re
from typing import NamedTuple

from .dates import format_date, parse_date
from .fields import Fields

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*").fullmatch
_each_tag = re.compile(_TAG).findall
_one_tag = re.compile(_TAG).fullmatch

# The last second that a date can say: the end of the year 9999.
_LATEST = 253402300799


class Validators(NamedTuple):
    """What tells one version of a representation from another.

    `tag`: the entity tag as in ETag, with its quotes. `modified`: in seconds since 1970, and not in the future; None
    means that no date can say it. `settled`: whether the date is so old that two versions cannot have the same.
    """

    tag: str | None
    modified: int | None = None
    settled: bool = False

    @classmethod
    def of(cls, tag: str | None, modified: float | None, now: float) -> Validators:
        """Make them of a time of modification, at `now`. RFC 9110, 8.8.2."""
        if modified is None or not 0 <= modified <= _LATEST:
            return cls(tag)
        return cls(tag, int(min(modified, now)), modified < int(now) - 1)

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields that tell them to the client."""
        found = [] if self.tag is None else [("etag", self.tag)]
        if self.modified is not None:
            found.append(("last-modified", format_date(self.modified)))
        return found


def refusal_of(method: str, fields: Fields, present: Validators) -> int:
    """Return 304 or 412 if the conditions of a request say that it is not to be done; 0 if it is. RFC 9110, 13.2.2.

    `present`: of the representation that GET would answer with. Call this only if there is one.
    """
    if_match = fields.get("if-match")
    if if_match is not None:
        if not _lists(if_match, present.tag, strong=True):
            return 412
    elif present.modified is not None:
        since = parse_date(fields.get("if-unmodified-since", "") or "")
        if since is not None and present.modified > since:
            return 412
    is_read = method in ("GET", "HEAD")
    if_none_match = fields.get("if-none-match")
    if if_none_match is not None:
        if _lists(if_none_match, present.tag, strong=False):
            return 304 if is_read else 412
    elif is_read and present.modified is not None:
        since = parse_date(fields.get("if-modified-since", "") or "")
        if since is not None and present.modified <= since:
            return 304
    return 0


def is_same_version(fields: Fields, present: Validators) -> bool:
    """Whether If-Range lets Range apply: the client has a part of the present version, or does not ask."""
    known = fields.get("if-range")
    if known is None:
        return True
    if _one_tag(known):
        return known == present.tag and not known.startswith("W/")
    since = parse_date(known)
    return since is not None and since == present.modified and present.settled


def _lists(value: str, tag: str | None, strong: bool) -> bool:
    """Whether a list of entity tags has this one, or is "*". What is no such list has none."""
    if value == "*":
        return True
    if tag is None or not _TAGS(value):
        return False
    if strong:
        return not tag.startswith("W/") and tag in _each_tag(value)
    return tag.removeprefix("W/") in [each.removeprefix("W/") for each in _each_tag(value)]
