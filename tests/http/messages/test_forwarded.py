"""What proxies say of a request: how their fields are read, from the right."""

from __future__ import annotations

from typing import Any

import pytest

from socket2.http import Fields
from socket2.http.messages.forwarded import Hop, address_of, hops_of_forwarded, hops_of_x_forwarded
from socket2.http.serving.origin import X_FORWARDED, Trust

PEER = ("10.0.0.1", 4711)


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("2001:DB8::1", ("2001:db8::1", 0, 0, 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0, 0, 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80, 0, 0)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("unknown", None),
        ("_hidden", None),
        ("192.0.2.1:_hidden", None),
        ("192.0.2.1:65536", None),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("[192.0.2.1", None),
        ("fe80::1%eth0", None),
        ("example.org", None),
        ("", None),
    ],
)
def test_addresses(node: str, address: Any) -> None:
    assert address_of(node) == address


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        (["for=192.0.2.1"], [Hop(("192.0.2.1", 0))]),
        (
            ['For="[2001:db8::1]:80";PROTO=HTTPS;host="a.example:8443";by=10.0.0.1'],
            [Hop(("2001:db8::1", 80, 0, 0), "https", b"a.example:8443")],
        ),
        (["for=192.0.2.1, for=192.0.2.2"], [Hop(("192.0.2.2", 0)), Hop(("192.0.2.1", 0))]),
        (["for=192.0.2.1", "for=192.0.2.2"], [Hop(("192.0.2.2", 0)), Hop(("192.0.2.1", 0))]),
        (['for="192.0.2.1, for=6.6.6.6"'], [Hop(None)]),
        (['for="\\1\\92.0.2.1"'], [Hop(("192.0.2.1", 0))]),
        (["for=_a;proto=http ; host=b"], [Hop(None, "http", b"b")]),
        (['proto=gopher;host="a/b"'], [Hop(None)]),
        ([""], [Hop(None)]),
        (["for=192.0.2.1;"], [Hop(("192.0.2.1", 0))]),
        # A client's field that swallows what is behind it says nothing, and neither does what is further left.
        (["for=6.6.6.6", 'for="6.6.6.6, for=192.0.2.1', "for=192.0.2.2"], [Hop(("192.0.2.2", 0))]),
        (["for=6.6.6.6;for=192.0.2.1"], []),
        (["for=2001:db8::1"], []),
        (["for = 192.0.2.1"], []),
    ],
)
def test_forwarded(values: list[str], hops: list[Hop]) -> None:
    assert hops_of_forwarded(Fields([("forwarded", value) for value in values])) == hops


def test_x_forwarded() -> None:
    fields = Fields(
        [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1"),
            ("x-forwarded-for", "192.0.2.2:80"),
            ("x-forwarded-proto", "http,https"),
            ("x-forwarded-host", "a.example"),
        ]
    )
    nearest = Hop(("192.0.2.2", 80), "https", b"a.example")
    assert hops_of_x_forwarded(fields, X_FORWARDED)[0] == nearest
    assert hops_of_x_forwarded(fields, X_FORWARDED)[1:] == [
        Hop(("192.0.2.1", 0), "http", b"a.example"),
        Hop(("6.6.6.6", 0), "http", b"a.example"),
    ]
    assert hops_of_x_forwarded(fields, frozenset(["x-forwarded-for"]))[0] == Hop(("192.0.2.2", 80))
    assert hops_of_x_forwarded(Fields(), X_FORWARDED) == []
    assert hops_of_x_forwarded(Fields({"x-forwarded-proto": "https"}), X_FORWARDED) == []


def origin(given: Any, *, trusted: Any = ("10.0.0.0/8",), fields: Any = X_FORWARDED) -> Any:
    return Trust(trusted, fields).origin(Fields(given), PEER, "http")


def test_the_client_is_the_first_that_is_not_trusted() -> None:
    assert origin({"x-forwarded-for": "192.0.2.1"})[0] == ("192.0.2.1", 0)
    assert origin({"x-forwarded-for": "6.6.6.6, 192.0.2.1"})[0] == ("192.0.2.1", 0)
    assert origin({"x-forwarded-for": "6.6.6.6, 192.0.2.1, 10.9.9.9"})[0] == ("192.0.2.1", 0)
    assert origin({"x-forwarded-for": "10.8.8.8, 10.9.9.9"})[0] == ("10.8.8.8", 0)
    assert origin({"x-forwarded-for": "6.6.6.6, unknown"})[0] == PEER
    assert origin({"x-forwarded-for": "6.6.6.6, junk, 10.9.9.9"})[0] == ("10.9.9.9", 0)
    assert origin({"x-forwarded-for": "6.6.6.6,"})[0] == PEER
    assert origin({}) == (PEER, "http", None)


def test_other_fields_are_not_believed() -> None:
    spoofed = {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https", "x-forwarded-host": "evil"}
    assert origin(spoofed | {"forwarded": "for=192.0.2.1;proto=https"}, fields="Forwarded") == (
        ("192.0.2.1", 0),
        "https",
        None,
    )
    assert origin(spoofed, fields="forwarded") == (PEER, "http", None)
    assert origin({"forwarded": "for=6.6.6.6;host=evil"}) == (PEER, "http", None)
    assert origin(spoofed, fields=["X-Forwarded-For"]) == (("6.6.6.6", 0), "http", None)


@pytest.mark.parametrize("fields", [[], ["x-real-ip"], ["forwarded", "x-forwarded-for"], ["x-forwarded-proto"]])
def test_fields_that_cannot_be_trusted(fields: list[str]) -> None:
    with pytest.raises(ValueError, match="trusted_fields"):
        Trust(["10.0.0.0/8"], fields)
