"""Conditional requests, rule by rule (RFC 9110, 13)."""

from __future__ import annotations

import pytest

from socket2.http import Fields
from socket2.http.messages.preconditions import Validators, is_same_version, refusal_of

AT = 1_000_000_000
SAME = "Sun, 09 Sep 2001 01:46:40 GMT"
BEFORE = "Sun, 09 Sep 2001 01:46:39 GMT"
AFTER = "Sun, 09 Sep 2001 01:46:41 GMT"
PRESENT = Validators('"a"', AT, True)


@pytest.mark.parametrize(
    ("fields", "of_get", "of_post"),
    [
        ({}, 0, 0),
        ({"if-match": '"a"'}, 0, 0),
        ({"if-match": "*"}, 0, 0),
        ({"if-match": '"b", "a"'}, 0, 0),
        ({"if-match": '"b"'}, 412, 412),
        ({"if-match": 'W/"a"'}, 412, 412),
        ({"if-match": "a"}, 412, 412),
        ({"if-match": '"a"', "if-unmodified-since": BEFORE}, 0, 0),
        ({"if-unmodified-since": BEFORE}, 412, 412),
        ({"if-unmodified-since": SAME}, 0, 0),
        ({"if-unmodified-since": "nonsense"}, 0, 0),
        ({"if-none-match": '"a"'}, 304, 412),
        ({"if-none-match": 'W/"a"'}, 304, 412),
        ({"if-none-match": "*"}, 304, 412),
        ({"if-none-match": '"x,y",, "a"'}, 304, 412),
        ({"if-none-match": '"b"'}, 0, 0),
        ({"if-none-match": "a"}, 0, 0),
        ({"if-none-match": '"b"', "if-modified-since": AFTER}, 0, 0),
        ({"if-modified-since": SAME}, 304, 0),
        ({"if-modified-since": AFTER}, 304, 0),
        ({"if-modified-since": BEFORE}, 0, 0),
        ({"if-modified-since": "nonsense"}, 0, 0),
        ({"if-match": '"b"', "if-none-match": '"a"'}, 412, 412),
        ({"if-match": '"a"', "if-none-match": '"a"'}, 304, 412),
        ({"if-unmodified-since": BEFORE, "if-modified-since": AFTER}, 412, 412),
    ],
)
def test_conditions_in_their_order(fields: dict[str, str], of_get: int, of_post: int) -> None:
    assert refusal_of("GET", Fields(fields), PRESENT) == of_get
    assert refusal_of("HEAD", Fields(fields), PRESENT) == of_get
    assert refusal_of("POST", Fields(fields), PRESENT) == of_post


@pytest.mark.parametrize(
    ("value", "present", "same"),
    [
        (None, PRESENT, True),
        ('"a"', PRESENT, True),
        ('"b"', PRESENT, False),
        ('W/"a"', PRESENT, False),
        ('W/"a"', Validators('W/"a"'), False),
        ('"a"', Validators('W/"a"'), False),
        (SAME, PRESENT, True),
        (AFTER, PRESENT, False),
        (SAME, PRESENT._replace(settled=False), False),
        ("nonsense", PRESENT, False),
        ("nonsense", Validators(None), False),
    ],
)
def test_if_range(value: str | None, present: Validators, same: bool) -> None:
    assert is_same_version(Fields({} if value is None else {"if-range": value}), present) is same


def test_a_date_is_not_in_the_future_and_soon_not_settled() -> None:
    assert Validators.of('"a"', AT + 100.5, AT) == ('"a"', AT, False)
    assert Validators.of('"a"', AT, AT + 0.5) == ('"a"', AT, False)
    assert Validators.of('"a"', AT, AT + 100) == ('"a"', AT, True)
    assert Validators.of('"a"', 1e15, 1e16) == Validators.of('"a"', -1, AT) == ('"a"', None, False)
    assert Validators('"a"', AT).fields() == [("etag", '"a"'), ("last-modified", SAME)]
