"""Fields: what is in them, and what cannot be."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import pytest

from socket2.http.messages import fields as fields_module
from socket2.http.messages.bounds import Limits
from socket2.http.messages.dates import date_line, format_date, parse_date
from socket2.http.messages.fields import Fields, elements

from ...injection import PlacedInjection, Raised, at_each_place


def test_names_have_any_case_and_fields_keep_their_order() -> None:
    fields = Fields([("Accept", "a"), ("X-Y", "1"), ("ACCEPT", "b")])
    assert fields["accept"] == fields.get("aCCept") == "a, b"
    assert fields.get_all("Accept") == ["a", "b"]
    assert fields.items() == [("accept", "a"), ("x-y", "1"), ("accept", "b")]
    assert list(fields) == fields.keys() == ["accept", "x-y"]
    assert dict(fields) == {"accept": "a, b", "x-y": "1"}
    assert "X-y" in fields
    assert "y" not in fields
    assert 1 not in fields
    assert len(fields) == 3


def test_what_is_missing() -> None:
    fields = Fields()
    assert fields.get("a") is None
    assert fields.get("a", "b") == "b"
    assert fields.get_all("a") == []
    with pytest.raises(KeyError):
        fields["a"]
    with pytest.raises(KeyError):
        del fields["a"]


def test_they_can_be_changed() -> None:
    fields = Fields({"a": "1", "b": "2"})
    copy = fields.copy()
    fields.add("A", "3")
    fields["b"] = "4"
    assert fields.items() == [("a", "1"), ("a", "3"), ("b", "4")]
    del fields["a"]
    assert fields == Fields({"b": "4"})
    assert fields != {"b": "4"}
    assert copy.items() == [("a", "1"), ("b", "2")]
    assert repr(fields) == "Fields([('b', '4')])"


def test_cookies_are_not_joined() -> None:
    fields = Fields([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2, c")])
    assert fields["set-cookie"] == "a=1"
    assert fields.get_all("Set-Cookie") == ["a=1", "b=2, c"]


def test_received_lines_are_split_when_they_are_needed() -> None:
    fields = Fields.received(b"Host: a\r\nX:\t b:c \t\r\nE:\r\n")
    assert fields.raw == [(b"host", b"a"), (b"x", b"b:c"), (b"e", b"")]
    fields = Fields.received(b"Host: a\r\n")
    fields.add("b", "c")
    assert len(fields) == 2


def test_a_signal_handler_that_raises_while_lines_are_split_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fields_module, "received_pairs", fields_module._received_pairs
    )  # in C, it cannot be interrupted

    def attempt(injection: PlacedInjection) -> None:
        fields = Fields.received(b"Host: a\r\nX: b\r\n")
        with contextlib.suppress(Raised), injection:
            assert len(fields) == 2
        assert fields.raw == [(b"host", b"a"), (b"x", b"b")], injection.where

    assert at_each_place(attempt, {inspect.getfile(Fields)}) > 2


def test_text_is_latin_1_or_bytes() -> None:
    fields = Fields([("a", "caf\xe9"), (b"b", b"\xff")])
    assert fields.raw == [(b"a", b"caf\xe9"), (b"b", b"\xff")]
    assert fields["b"] == "\xff"


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0", "\x7f", "\u20ac", b"\x0b"])
def test_a_value_that_cannot_be(value: Any) -> None:
    for name in ("x", "y"):
        with pytest.raises(ValueError, match="value"):
            Fields([(name, value)])
    with pytest.raises(ValueError, match="value"):
        Fields().add("x", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "caf\xe9", "\u20ac", b"\n", "a\0"])
def test_a_name_that_cannot_be(name: Any) -> None:
    for _ in range(2):  # a name that was refused stays refused
        with pytest.raises(ValueError, match="name"):
            Fields([(name, "b")])


@pytest.mark.parametrize("given", [[("a", 1)], [(1, "a")], {"a": None}])
def test_what_is_no_text(given: Any) -> None:
    with pytest.raises(TypeError):
        Fields(given)


def test_elements_of_a_list() -> None:
    assert elements(b" Close ,, keep-Alive\t,") == [b"close", b"keep-alive"]


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_all_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == 784111777
    assert format_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("text", ["", "0", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT", "now"])
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


def test_a_leap_second_is_the_one_before() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == parse_date("Sat, 31 Dec 2016 23:59:59 GMT")


def test_the_date_of_now() -> None:
    line = date_line()
    assert line.startswith(b"date: ")
    assert parse_date(line.decode()[6:-2]) is not None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"head_bytes": 0}, ValueError),
        ({"head_s": 0}, ValueError),
        ({"body_bytes": -1}, ValueError),
        ({"idle_s": float("nan")}, ValueError),
        ({"head_bytes": None}, TypeError),
        ({"head_fields": 1.5}, TypeError),
        ({"head_s": "1"}, TypeError),
        ({"head_bytes": True}, TypeError),
    ],
)
def test_limits_that_cannot_be(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(given))):
        Limits(**given)


def test_limits_that_are_none() -> None:
    limits = Limits(body_bytes=None, head_s=None, idle_s=None, body_s=None, send_s=None, unread_bytes=0)
    assert limits.body_bytes is None
