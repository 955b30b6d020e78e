"""A connection as a client sees it: requests, responses, and what may be sent when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from socket2.http.messages.bounds import Limits
from socket2.http.messages.clientside import ClientSide
from socket2.http.messages.errors import ProtocolError
from socket2.http.messages.incoming import Upgraded

from ..conftest import Checkers
from ..sides import read

HOST = {"Host": "a"}
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("call", "head"),
    [
        (("GET", "/a?b", HOST), b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n"),
        (("GET", b"/", HOST, 0), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (("POST", "/", HOST), b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        (("POST", "/", HOST, 5), b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"),
        (("POST", "/", {**HOST, "Content-Length": "5"}), b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"),
        (("POST", "/", HOST, None), b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"),
        (
            ("GET", "/", {**HOST, "Connection": "x, close"}),
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x\r\n\r\n",
        ),
        (("M-SEARCH", "*", HOST), b"M-SEARCH * HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
    ],
)
def test_heads_of_requests(call: Any, head: bytes) -> None:
    assert ClientSide().head(*call) == head


@pytest.mark.parametrize(
    "call",
    [
        ("GET", "/a b", HOST),
        ("GET", "/\r\nX: y", HOST),
        ("GET", "", HOST),
        ("GET", "/\xe9", HOST),
        ("GET", b"/\xe9", HOST),
        ("GET", "/a#b", HOST),
        ("G T", "/", HOST),
        ("", "/", HOST),
        ("GET", "/", {}),
        ("GET", "/", {"Host": "a\r\nb: c"}),
        ("GET", "/", {**HOST, "Transfer-Encoding": "chunked"}),
        ("POST", "/", {**HOST, "Content-Length": "5"}, 6),
        ("CONNECT", "a:1", HOST, 5),
        ("POST", "/", HOST, -1),
        ("POST", "/", HOST, 1.5),
    ],
)
def test_a_request_that_cannot_be_leaves_the_way_free_for_another(call: Any) -> None:
    side = ClientSide()
    with pytest.raises(ValueError, match=r".+"):
        side.head(*call)
    side.head("GET", "/", HOST)


def test_the_body_of_a_request() -> None:
    side = ClientSide()
    side.head("POST", "/", HOST, 2)
    with pytest.raises(ValueError, match="less"):
        side.end()
    assert side.data(b"hi") == [b"hi"]
    assert side.end() == b""
    side = ClientSide()
    side.head("POST", "/", HOST, None)
    assert b"".join(side.data(b"hi")) == b"2\r\nhi\r\n"
    assert side.end({"A": "b"}) == b"0\r\na: b\r\n\r\n"


@pytest.mark.parametrize(
    "call",
    [lambda side: side.data(b"x"), lambda side: side.end(), lambda side: side.next_exchange()],
)
def test_what_needs_a_request(call: Callable[[ClientSide], object]) -> None:
    side = ClientSide()
    with pytest.raises(RuntimeError):
        call(side)
    side.head("GET", "/", HOST)
    side.end()
    with pytest.raises(RuntimeError):
        call(side)
    with pytest.raises(RuntimeError):
        side.head("GET", "/", HOST)


def kinds(happened: list[tuple[Any, ...]]) -> list[object]:
    return [event[1] if event[0] in ("response", "data", "refused") else event[0] for event in happened]


@pytest.mark.parametrize(
    ("data", "methods", "seen"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", ["GET"], [200, b"hello", "end"]),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", ["GET"], [200, b"hello", "end"]),
        (OK + b"\r\nhello", ["GET"], [200, b"hello", "end"]),
        (OK + b"\r\n", ["GET"], [200, "end"]),
        (OK + b"Content-Length: 5\r\n\r\n" + EMPTY, ["HEAD", "GET"], [200, "end", 200, "end"]),
        (EMPTY * 2, ["POST", "GET"], [200, "end", 200, "end"]),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 A\r\nX: y\r\n\r\n" + EMPTY, ["POST"], [100, 103, 200, "end"]),
        (b"HTTP/1.1 204 No\r\n\r\n" + EMPTY, ["GET", "GET"], [204, "end", 200, "end"]),
        (b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n" + EMPTY, ["GET", "GET"], [304, "end", 200, "end"]),
        (OK + b"\r\nhello", ["CONNECT"], [200, "upgraded"]),
        (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", ["CONNECT"], [403, b"no", "end"]),
        (b"\r\n" + EMPTY, ["GET"], [200, "end"]),
        (OK + b"Content-Length: 5\r\n\r\nhel", ["GET"], [200, b"hel", 400]),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ["GET"], [200, b"hello", 400]),
        (OK, ["GET"], [400]),
        (b"", ["GET"], [400]),
        (b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", ["GET"], [400]),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", ["GET"], [400]),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", ["GET"], [400]),
        (OK + b"Content-Length: 6\r\n\r\n", ["GET"], [200, 413]),
        (OK + b"\r\n123456", ["GET"], [200, b"123456", 413]),
    ],
)
def test_responses(data: bytes, methods: list[str], seen: list[object], checker: Checkers) -> None:
    side = ClientSide(Limits(body_bytes=5), checker.responses)
    found = kinds(read(side, [data], methods))
    assert found == seen


def test_an_upgrade() -> None:
    side = ClientSide()
    side.head("GET", "/", {**HOST, "Connection": "upgrade", "Upgrade": "x"})
    side.end()
    side.receive(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello")
    assert repr(side.next()) == "<HTTP/1.1 101 S>"
    event = side.next()
    assert isinstance(event, Upgraded)
    assert event.data == b"hello"
    assert side.closing


def test_a_response_before_the_request_has_ended() -> None:
    side = ClientSide()
    side.head("POST", "/", HOST, 5)
    side.receive(EMPTY)
    assert repr(side.next()) == "<HTTP/1.1 200 OK>"
    side.next()
    assert side.received_all
    with pytest.raises(RuntimeError):
        side.next_exchange()
    side.data(b"hello")
    side.end()
    side.next_exchange()


@pytest.mark.parametrize("fields", [b"Connection: close\r\nContent-Length: 0\r\n", b""])
def test_a_connection_that_ends(fields: bytes) -> None:
    side = ClientSide()
    assert kinds(read(side, [OK + fields + b"\r\n"], ["GET", "GET"])) == [200, "end"]
    with pytest.raises(RuntimeError):
        side.next_exchange()


def test_a_response_without_a_request() -> None:
    side = ClientSide()
    assert side.next() is None
    side.receive(EMPTY)
    for _ in range(2):
        with pytest.raises(ProtocolError):
            side.next()


def events_of(side: ClientSide, response: bytes, cut: int, first: Callable[[bytes], bytes | None]) -> list[Any]:
    """Return what comes of a response in two pieces: of the first through `first`. The last item: why no more does."""
    events: list[Any] = []
    if (whole := first(response[:cut])) is not None:
        return [repr(side.response), whole, "over", side.closing]
    body = b""
    try:
        for data in (response[cut:], b""):
            while (event := side.next()) is not None:
                if isinstance(event, bytes):
                    body += event
                else:
                    events.append(repr(event))
            if side.received_all:
                return [events[-2], body, "over", side.closing]
            side.receive(data)
    except ProtocolError as error:
        events.append(str(error))
    return [*events, body]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "response",
    [
        EMPTY,
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nA b: c\r\n\r\nhello",
        OK + b"Content-Length: 11\r\n\r\nhello hello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        OK + b"X: " + b"y" * 20_000 + b"\r\nContent-Length: 5\r\n\r\nhello",
        b"\r\n" + EMPTY,
        b"hello\r\n\r\n",
    ],
)
def test_a_response_that_may_be_whole(method: str, response: bytes, checker: Checkers) -> None:
    """take() finds what receive() and next() find, wherever the first piece ends, and if the head is known."""
    known = ClientSide(Limits(body_bytes=10), checker.responses)
    for cut in [*range(min(len(response), 200) + 1), len(response)]:
        sides = [ClientSide(Limits(body_bytes=10), checker.responses) for _ in range(2)]
        for side in sides:
            side.head(method, "/", HOST)
            side.end()
        expected = events_of(sides[0], response, cut, sides[0].receive)
        assert events_of(sides[1], response, cut, sides[1].take) == expected
    for _ in range(3):
        known.head(method, "/", HOST)
        known.end()
        assert events_of(known, response, len(response), known.take) == expected
        if known.closing or not (known.received_all and known.incoming.empty):
            break
        known.next_exchange()


def test_a_whole_response_with_more_behind_it_is_none() -> None:
    side = ClientSide()
    side.head("GET", "/", HOST)
    side.end()
    assert side.take(EMPTY + b"H") is None
    assert not side.incoming.empty
