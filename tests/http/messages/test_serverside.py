"""A connection as a server sees it: requests, answers, and what may be sent when."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import pytest

from socket2.http.messages.bounds import Limits
from socket2.http.messages.errors import ProtocolError
from socket2.http.messages.fields import Fields
from socket2.http.messages.heads import RequestHead
from socket2.http.messages.serverside import ServerSide

from ..conftest import Checkers
from ..sides import serve
from ..smuggled import chunked, get, post

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"


def asked(data: bytes = GET, limits: Limits | None = None) -> ServerSide:
    side = ServerSide(limits)
    side.receive(data)
    assert isinstance(side.next(), RequestHead)
    return side


def undated(head: bytes) -> bytes:
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"", head)


def test_an_exchange_after_the_other() -> None:
    side = ServerSide()
    assert side.next() is None
    side.receive(post(b"Content-Length: 5\r\n", b"hel"))
    request = side.next()
    assert isinstance(request, RequestHead)
    assert repr(request) == "<POST / HTTP/1.1>"
    assert side.next(2) == b"he"
    assert side.next() == b"l"
    assert side.next() is None
    side.receive(b"lo" + GET)
    assert side.next() == b"lo"
    assert repr(side.next()) == "End(Fields([]))"
    assert side.next() is None
    assert side.received_all
    answer = side.head(200, {"X-Y": "z"}, 2)
    assert undated(answer) == b"HTTP/1.1 200 OK\r\nx-y: z\r\ncontent-length: 2\r\n\r\n"
    assert answer != undated(answer)
    assert side.data(b"hi") == [b"hi"]
    assert side.end() == b""
    side.next_exchange()
    request = side.next()
    assert isinstance(request, RequestHead)
    assert request.method == "GET"
    assert not side.ended
    side.receive(b"")
    assert side.ended


@pytest.mark.parametrize(
    ("request_", "status", "given", "length", "fields", "closing"),
    [
        (GET, 200, {}, 3, b"content-length: 3\r\n", False),
        (GET, 200, {"Content-Length": "3"}, None, b"content-length: 3\r\n", False),
        (GET, 200, {"Content-Length": "3"}, 3, b"content-length: 3\r\n", False),
        (GET, 200, {}, None, b"transfer-encoding: chunked\r\n", False),
        (GET_1_0, 200, {}, None, b"connection: close\r\n", True),
        (GET_1_0, 200, {}, 3, b"content-length: 3\r\nconnection: close\r\n", True),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            200,
            {},
            3,
            b"content-length: 3\r\nconnection: keep-alive\r\n",
            False,
        ),
        (get(b"Connection: close\r\n"), 200, {}, 0, b"content-length: 0\r\nconnection: close\r\n", True),
        (GET, 200, {"Connection": "Close, x"}, 0, b"content-length: 0\r\nconnection: close, x\r\n", True),
        (GET, 200, {"Connection": "keep-alive, x"}, 0, b"content-length: 0\r\nconnection: x\r\n", False),
        (GET, 200, {"Date": "never"}, 0, b"date: never\r\ncontent-length: 0\r\n", False),
        (GET, 204, {}, None, b"", False),
        (GET, 304, {}, 5, b"content-length: 5\r\n", False),
        (HEAD, 200, {}, 5, b"content-length: 5\r\n", False),
        (HEAD, 200, {}, None, b"transfer-encoding: chunked\r\n", False),
    ],
)
def test_heads_of_answers(
    request_: bytes, status: int, given: dict[str, str], length: int | None, fields: bytes, closing: bool
) -> None:
    side = asked(request_)
    head = undated(side.head(status, given, length))
    assert head.partition(b"\r\n")[2] == fields + b"\r\n"
    assert side.closing is closing


def test_the_body_of_an_answer_of_known_length() -> None:
    side = asked()
    side.head(200, (), 4)
    assert side.data(b"") == []
    assert side.data(memoryview(b"he")) == [b"he"]
    with pytest.raises(ValueError, match="1 bytes more"):
        side.data(b"llo")
    with pytest.raises(ValueError, match="2 bytes less"):
        side.end()
    assert side.data(bytearray(b"ll")) == [b"ll"]
    with pytest.raises(ValueError, match="trailers"):
        side.end({"a": "b"})
    assert side.end() == b""


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host"])
def test_what_frames_a_message_is_no_trailer(name: str) -> None:
    side = asked()
    side.head(200)
    with pytest.raises(ValueError, match="cannot be a trailer"):
        side.end({"A": "b", name: "5"})
    assert side.end({"A": "b"}) == b"0\r\na: b\r\n\r\n"


def test_the_body_of_an_answer_in_chunks() -> None:
    side = asked()
    side.head(200)
    assert b"".join(side.data(b"x" * 17)) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert side.data(b"") == []
    assert side.end({"A": "b"}) == b"0\r\na: b\r\n\r\n"
    side = asked()
    side.head(200)
    assert side.end(Fields()) == b"0\r\n\r\n"


def test_the_body_of_an_answer_until_the_connection_ends() -> None:
    side = asked(GET_1_0)
    side.head(200)
    assert side.data(b"x") == [b"x"]
    assert side.end() == b""


def test_head_has_the_fields_of_get_and_no_body() -> None:
    for length in (5, None):
        side = asked(HEAD)
        side.head(200, (), length)
        assert side.data(b"hello") == []
        assert side.end() == b""
        side.next_exchange()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda side: side.head(200, {"Transfer-Encoding": "chunked"}), ValueError),
        (lambda side: side.head(200, {"Content-Length": "5"}, 6), ValueError),
        (lambda side: side.head(200, {"Content-Length": "+5"}), ValueError),
        (lambda side: side.head(200, [("Content-Length", "5")] * 2), ValueError),
        (lambda side: side.head(200, {"A": "b\r\nC: d"}), ValueError),
        (lambda side: side.head(200, {"A\r\nC": "d"}), ValueError),
        (lambda side: side.head(204, (), 5), ValueError),
        (lambda side: side.head(200, (), -1), ValueError),
        (lambda side: side.head(200, (), -2), ValueError),
        (lambda side: side.head(200, (), cast("int", 1.5)), ValueError),
        (lambda side: side.head(101), ValueError),
        (lambda side: side.head(1000), ValueError),
        (lambda side: side.informational(101), ValueError),
        (lambda side: side.informational(200), ValueError),
        (lambda side: side.data(b"x"), RuntimeError),
        (lambda side: side.end(), RuntimeError),
        (lambda side: side.next_exchange(), RuntimeError),
        (lambda side: side.upgrade(), RuntimeError),
    ],
)
def test_an_answer_that_cannot_be_leaves_the_way_free_for_another(
    call: Callable[[ServerSide], object], error: type[Exception]
) -> None:
    side = asked()
    with pytest.raises(error):
        call(side)
    assert undated(side.head(500, (), 0)) == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def test_an_answer_that_says_not_modified_has_no_body() -> None:
    side = asked(GET + GET)
    assert (
        undated(side.head(304, {"ETag": "a"}, 5))
        == b"HTTP/1.1 304 Not Modified\r\netag: a\r\ncontent-length: 5\r\n\r\n"
    )
    assert side.data(b"hello") == []
    assert side.end() == b""
    assert side.go_on()


def test_an_answer_begins_once() -> None:
    side = asked()
    side.head(200, (), 0)
    with pytest.raises(RuntimeError, match="already begun"):
        side.head(200)
    with pytest.raises(RuntimeError, match="already begun"):
        side.informational(103)
    with pytest.raises(RuntimeError, match="already begun"):
        side.upgrade()


def test_there_is_no_answer_without_a_request() -> None:
    with pytest.raises(RuntimeError, match="no request"):
        ServerSide().head(200)


def test_interim_answers() -> None:
    side = asked(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""))
    assert side.waits_for_continue
    assert side.informational(103, {"Link": "a"}) == b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
    assert side.waits_for_continue
    assert side.informational(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not side.waits_for_continue
    assert asked(GET_1_0).informational(103) == b""
    assert not asked(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"h")).waits_for_continue


def test_what_was_found_out_about_equal_fields_is_true_only_of_them() -> None:
    """The fields of each request are those of the one before; what else is in their heads differs."""
    side = ServerSide()
    fields = b" HTTP/1.1\r\nHost: a\r\n\r\n"
    for line, host, usual in (
        (b"GET http://b/", b"b", True),
        (b"GET /", b"a", True),
        (b"HEAD /", b"a", False),
        (b"CONNECT c:1", b"c:1", False),
        (b"GET /c?d", b"a", True),
        (b"OPTIONS *", b"a", True),
        (b"GET /c", b"a", True),
        (b"GET /c", b"a", True),
    ):
        request = side.take(line + fields)
        assert request is not None
        assert (request.raw_target, request.host) == (line.partition(b" ")[2], host)
        assert request.usual is usual
        side.head(404, (), 0)
        side.end()
        side.next_exchange()


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"GET /a#b", 400), (b"GET /\x01", 400), (b"GET a", 400), (b"FOO /", 501), (b"GET  /", 400), (b"CONNECT /", 400)],
)
def test_a_bad_line_is_seen_before_equal_fields(line: bytes, status: int) -> None:
    side = asked()
    side.head(200, (), 0)
    side.end()
    side.next_exchange()
    with pytest.raises(ProtocolError) as refused:
        side.take(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert refused.value.status == status


def test_the_old_version_has_rules_of_its_own_for_equal_fields() -> None:
    side = asked()
    side.head(200, (), 0)
    side.end()
    side.next_exchange()
    request = side.take(GET.replace(b"1.1", b"1.0"))
    assert request is not None
    assert not request.keep_alive


def test_the_connection_is_not_used_again_before_the_request_has_ended() -> None:
    side = asked(post(b"Content-Length: 5\r\n", b""))
    side.head(200, (), 0)
    side.end()
    with pytest.raises(RuntimeError):
        side.next_exchange()
    side.receive(b"hello")
    assert side.next() == b"hello"
    side.next()
    side.next_exchange()


def test_it_is_not_used_again_after_close() -> None:
    side = asked(get(b"Connection: close\r\n") + GET)
    side.head(200, (), 0)
    side.end()
    with pytest.raises(RuntimeError):
        side.next_exchange()


def test_an_error_is_raised_again() -> None:
    side = ServerSide()
    side.receive(b"GET  / HTTP/1.1\r\n\r\n" + GET)
    for _ in range(2):
        with pytest.raises(ProtocolError) as refused:
            side.next()
    answer = undated(side.refusal(refused.value, b"no"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"content-length: 2\r\nconnection: close\r\n\r\nno")
    assert side.refusal(refused.value, b"no") == b""


# Limits.


@pytest.mark.parametrize(
    ("limits", "data", "status"),
    [
        (Limits(head_bytes=50), get(b"X: " + b"y" * 50 + b"\r\n"), 431),
        (Limits(head_bytes=50), b"GET /" + b"a" * 100, 414),
        (Limits(target_bytes=5), b"GET /aaaaa HTTP/1.1\r\n", 414),
        (Limits(head_fields=2), get(b"X: y\r\n" * 2), 431),
        (Limits(body_bytes=4), post(b"Content-Length: 5\r\n", b""), 413),
        (Limits(body_bytes=4), chunked(b"2\r\nhe\r\n3\r\n"), 413),
        (Limits(body_bytes=0), chunked(b"1\r\n"), 413),
        (Limits(head_bytes=50), chunked(b"0\r\nX: " + b"y" * 60), 431),
        (Limits(head_fields=2), chunked(b"0\r\n" + b"X: y\r\n" * 3 + b"\r\n"), 431),
        (Limits(head_bytes=60), chunked((b"1;" + b"x" * 40 + b"\r\na\r\n") * 2), 400),
        (Limits(), chunked(b"1;" + b"x" * 300), 400),
    ],
)
def test_limits(limits: Limits, data: bytes, status: int) -> None:
    assert serve(ServerSide(limits), [data])[-1] == ("refused", status)


def test_what_just_fits() -> None:
    data = get(b"X: yz\r\n")
    limits = Limits(head_bytes=len(data) - 4, head_fields=2, target_bytes=1, body_bytes=5)
    assert serve(ServerSide(limits), [data])[-1][0] == "request"
    data = chunked(b"5\r\nhello\r\n0\r\n\r\n")
    assert serve(ServerSide(Limits(body_bytes=5)), [data])[-1][0] == "end"


def test_a_limit_of_one_request_can_be_moved() -> None:
    side = asked(post(b"Content-Length: 5\r\n", b"hello"), Limits(body_bytes=4))
    side.incoming.body_max = 5
    assert side.next() == b"hello"


@pytest.mark.parametrize(
    "data", [b"GET / HT", post(b"Content-Length: 5\r\n", b"hi"), chunked(b"5\r\nhi"), chunked(b"5\r\nhello\r\n0\r\n")]
)
def test_an_end_within_a_message(data: bytes) -> None:
    assert serve(ServerSide(), [data])[-1] == ("refused", 400)


@pytest.mark.parametrize(
    "body",
    [
        b"a;\r\n",
        b"5;=a\r\n",
        b"5 a\r\n",
        b'5;a="b\r\n',
        b"5;a=b;c=\r\n",
        b"5;a\x00\r\n",
        b";a\r\n",
        b"g\r\n",
        b"5\r\nhello0",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n x\r\n\r\n",
        b"0\r\nX\r\n\r\n",
    ],
)
def test_malformed_chunks(body: bytes) -> None:
    assert serve(ServerSide(), [chunked(body)])[-1] == ("refused", 400)


def test_chunks_whose_grammar_is_rarely_used() -> None:
    body = b'5 ; a = "\\"b\\\\;\xe9" ;c\r\nhello\r\n6;d=e\r\n world\r\n00;f\r\nVary: *\r\nVary: a\r\n\r\n'
    happened = serve(ServerSide(), [chunked(body)])
    assert happened[1:] == [("data", b"hello world"), ("end", [(b"vary", b"*"), (b"vary", b"a")])]


@pytest.mark.parametrize("behind", [b"\r\n", b"\r\n\r\n", b"\r\n" * 3])
def test_empty_lines_behind_a_body_begin_no_request(behind: bytes, checker: Checkers) -> None:
    """Some clients send one, and then nothing. RFC 9112, 2.2."""
    data = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" + behind
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        side = ServerSide(checker=checker.requests)
        assert [event[0] for event in serve(side, pieces)] == ["request", "data", "end"]
        assert side.incoming.empty
