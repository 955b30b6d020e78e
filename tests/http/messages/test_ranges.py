"""Ranges: which parts a request means, and what is too expensive (RFC 9110, 14); media types and codings."""

from __future__ import annotations

import pytest

from socket2.http import Fields
from socket2.http.messages.codings import acceptable
from socket2.http.messages.media import media_type
from socket2.http.messages.ranges import RANGES_MAX, NotSatisfiable, parts_of


def parts(value: str, size: int = 10) -> list[tuple[int, int]]:
    return [(part.first, part.size) for part in parts_of(Fields({"range": value}), size)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("BYTES=2-5", [(2, 4)]),
        ("bytes=7-", [(7, 3)]),
        ("bytes=-3", [(7, 3)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=5-99999999999999999999999", [(5, 5)]),
        ("bytes=8-8, 0-1", [(8, 1), (0, 2)]),
        ("bytes=,0-0,\t,2-2 ,", [(0, 1), (2, 1)]),
        ("bytes=0-1,2-3", [(0, 2), (2, 2)]),
        ("bytes=0-1,99-", [(0, 2)]),
    ],
)
def test_what_is_wanted(value: str, expected: list[tuple[int, int]]) -> None:
    assert parts(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("bytes=-", "bytes=5-2", "bytes=", "bytes=,", "lines=1-2", "bytes=a-b", "bytes 0-1", "bytes=1", "bytes=1-2-3"),
        *("bytes=0-1,x", "bytes=+1-2", "bytes=\u00b2-", "bytes=0 - 1", "bytes=0-0, bytes=2-2"),
    ],
)
def test_what_is_malformed_is_ignored(value: str) -> None:
    assert parts(value) == []


@pytest.mark.parametrize(
    "value", ["bytes=10-", "bytes=-0", "bytes=99-100", "bytes=10-,-0", "bytes=" + "9" * 5000 + "-"]
)
def test_what_is_not_there(value: str) -> None:
    with pytest.raises(NotSatisfiable):
        parts(value)


def test_an_empty_representation() -> None:
    assert parts("bytes=-5", 0) == []
    with pytest.raises(NotSatisfiable):
        parts("bytes=0-", 0)


@pytest.mark.parametrize("value", ["bytes=0-5,5-6", "bytes=0-,0-,0-", "bytes=-5,0-5", "bytes=3-4,0-9"])
def test_parts_that_overlap_are_no_reason_to_send_any(value: str) -> None:
    assert parts(value) == []


def test_many_parts_are_no_reason_to_send_any() -> None:
    some = [f"{2 * n}-{2 * n}" for n in range(RANGES_MAX + 1)]
    assert len(parts("bytes=" + ",".join(some[:-1]), 1000)) == RANGES_MAX
    assert parts("bytes=" + ",".join(some), 1000) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ("gzip", ["gzip"]),
        ("gzip, br", ["br", "gzip"]),
        ("br;q=0.5, GZIP ; q=1.0", ["gzip", "br"]),
        ("*", ["br", "gzip"]),
        ("*, br;q=0", ["gzip"]),
        ("gzip;q=0", []),
        ("gzip;q=0.5, identity", []),
        ("gzip;q=x, br;q=2", []),
        ("x-gzip", ["gzip"]),
    ],
)
def test_codings(value: str | None, expected: list[str]) -> None:
    assert acceptable(Fields({} if value is None else {"accept-encoding": value}), ("br", "gzip")) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.tar.gz", "application/gzip"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("html", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_media_types(name: str, expected: str) -> None:
    assert media_type(name) == expected


def test_a_text_without_a_charset() -> None:
    assert media_type("a.txt", None) == "text/plain"
