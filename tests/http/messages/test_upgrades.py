"""Connections that speak another protocol from one answer on: what a server may answer, and what is not HTTP then."""

from __future__ import annotations

import pytest

from socket2.http.messages.incoming import Upgraded

from ..smuggled import get, post
from .test_serverside import GET, asked, undated


def test_an_upgrade() -> None:
    side = asked(get(b"Connection: upgrade\r\nUpgrade: a, b\r\n") + b"\x81\x00")
    answer = undated(side.upgrade("a", {"X": "y"}))
    assert answer == b"HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\nconnection: upgrade\r\nx: y\r\n\r\n"
    event = side.next()
    assert isinstance(event, Upgraded)
    assert event.data == b"\x81\x00"
    assert repr(event) == "Upgraded(b'\\x81\\x00')"


def test_an_upgrade_waits_for_the_body() -> None:
    side = asked(post(b"Content-Length: 2\r\nConnection: upgrade\r\nUpgrade: a\r\n", b"hi"))
    with pytest.raises(RuntimeError, match="body"):
        side.upgrade()
    assert side.next() == b"hi"
    side.next()
    assert b"upgrade: a\r\n" in side.upgrade()


def test_connect() -> None:
    side = asked(b"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nhello")
    assert undated(side.upgrade()) == b"HTTP/1.1 200 OK\r\n\r\n"
    event = side.next()
    assert isinstance(event, Upgraded)
    assert event.data == b"hello"


def test_a_connection_is_not_used_again_if_the_client_may_take_it_for_a_tunnel() -> None:
    side = asked(b"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n" + GET)
    assert undated(side.head(200, (), 0)) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    side.end()
    assert not side.go_on()


@pytest.mark.parametrize("protocol", ["b", "evil", "A, B", None])
def test_only_one_protocol_that_was_offered_is_spoken(protocol: str | None) -> None:
    offers = b"a, b" if protocol is None else b"a, B/1"
    side = asked(get(b"Connection: upgrade\r\nUpgrade: %b\r\n" % offers))
    with pytest.raises(RuntimeError, match="offer"):
        side.upgrade(protocol)
    assert side.upgrade("A").startswith(b"HTTP/1.1 101 ")
