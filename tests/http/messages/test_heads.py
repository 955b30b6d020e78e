"""Heads of requests and responses: what becomes of them, and that all checkers agree on it."""

from __future__ import annotations

import random

import pytest

from socket2.http.messages.bounds import Limits
from socket2.http.messages.errors import ProtocolError
from socket2.http.messages.framing import CHUNKED, UNTIL_CLOSE
from socket2.http.messages.heads import (
    METHODS,
    RequestHead,
    ResponseHead,
    checkers,
    parse_request,
    parse_response,
)
from socket2.http.messages.syntax import Checker, problem_of
from socket2.http.messages.target import Target

from ..conftest import Checkers, checkers_of
from ..smuggled import REFUSED, TAKEN

LIMITS = Limits()


def request(checker: Checkers, *lines: bytes) -> RequestHead:
    return parse_request(b"".join(line + b"\r\n" for line in (*lines, b"")), LIMITS, checker.requests)


def response(checker: Checkers, *lines: bytes, method: str = "GET") -> ResponseHead:
    return parse_response(b"".join(line + b"\r\n" for line in (*lines, b"")), method, LIMITS, checker.responses)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_known_to_all_checkers(method: bytes, checker: Checkers) -> None:
    target = b"a:1" if method == b"CONNECT" else b"/"
    assert request(checker, method + b" " + target + b" HTTP/1.1", b"Host: a").method == method.decode()


@pytest.mark.parametrize("method", [b"FOO", b"SOURCE", b"PRI", b"ANNOUNCE", b"x"])
def test_a_method_that_is_not_implemented(method: bytes, checker: Checkers) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(checker, method + b" / HTTP/1.1", b"Host: a")
    assert refused.value.status == 501


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3.0"])
def test_a_version_that_is_not_supported(version: bytes, checker: Checkers) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(checker, b"GET / " + version, b"Host: a")
    assert refused.value.status == 505


@pytest.mark.parametrize("version", [b"HTTP/1.11", b"http/1.1", b"HTTP/1", b"ICE/1.0", b"RTSP/1.0", b"IHTTP/1.0", b""])
def test_what_is_no_version(version: bytes, checker: Checkers) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(checker, b"GET / " + version, b"Host: a")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET /a/b?c=d?e", Target("origin", b"/a/b", b"c=d?e")),
        (b"GET //a", Target("origin", b"//a", b"")),
        (b"GET /?", Target("origin", b"/", b"")),
        (b"OPTIONS *", Target("asterisk", b"*", b"")),
        (b"CONNECT b.c:443", Target("authority", b"", b"", authority=b"b.c:443")),
        (b"CONNECT [::1]:443", Target("authority", b"", b"", authority=b"[::1]:443")),
        (b"GET http://b/c?d", Target("absolute", b"/c", b"d", b"http", b"b")),
        (b"GET HTTPS://b:8?d", Target("absolute", b"/", b"d", b"https", b"b:8")),
        (b"OPTIONS http://b", Target("absolute", b"*", b"", b"http", b"b")),
    ],
)
def test_targets(line: bytes, target: Target, checker: Checkers) -> None:
    head = request(checker, line + b" HTTP/1.1", b"Host: a")
    assert head.target == target
    assert head.host == (target.authority or b"a")


def test_a_path_is_decoded_once() -> None:
    assert Target("origin", b"/a%20b%2541%e2%82%ac%ff", b"").decoded_path() == "/a b%41\u20ac\ufffd"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /\xc3\xa9", 400),
        (b"GET /a#b", 400),
        (b"GET *", 400),
        (b"GET", 400),
        (b"GET ", 400),
        (b"GET http://", 400),
        (b"GET http://:80/", 400),
        (b"GET http://u:p@b/", 400),
        (b"CONNECT /", 400),
        (b"CONNECT b:99999", 400),
        (b"CONNECT :1", 400),
        (b"CONNECT http://b/", 400),
        (b"GET /" + b"a" * 8192, 414),
    ],
)
def test_targets_that_cannot_be(line: bytes, status: int, checker: Checkers) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(checker, line + b" HTTP/1.1", b"Host: a")
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("lines", "alive"),
    [
        ([b"GET / HTTP/1.1", b"Host: a"], True),
        ([b"GET / HTTP/1.1", b"Host: a", b"Connection: a,\tCLOSE"], False),
        ([b"GET / HTTP/1.1", b"Host: a", b"Connection: a", b"Connection: close"], False),
        ([b"GET / HTTP/1.1", b"Host: a", b"Connection: keep-alive, close"], False),
        ([b"GET / HTTP/1.1", b"Host: a", b"Connection: closed"], True),
        ([b"GET / HTTP/1.0"], False),
        ([b"GET / HTTP/1.0", b"Connection: Keep-Alive"], True),
        ([b"GET / HTTP/1.0", b"Connection: keep-alive, close"], False),
        ([b"GET / HTTP/1.1", b"Host: a", b"Proxy-Connection: close"], True),
    ],
)
def test_whether_the_connection_can_be_used_again(lines: list[bytes], alive: bool, checker: Checkers) -> None:
    for _ in range(3):  # a checker may not remember the request before
        assert request(checker, *lines).keep_alive is alive


def test_expectations(checker: Checkers) -> None:
    post = (b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1")
    assert request(checker, *post, b"Expect: 100-Continue").expects_continue
    assert not request(checker, *post).expects_continue
    assert not request(checker, b"GET / HTTP/1.1", b"Host: a", b"Expect: 100-continue").expects_continue
    assert not request(checker, b"POST / HTTP/1.0", b"Content-Length: 1", b"Expect: 100-continue").expects_continue
    with pytest.raises(ProtocolError) as refused:
        request(checker, *post, b"Expect: 100-continue, more")
    assert refused.value.status == 417


def test_an_offer_to_upgrade(checker: Checkers) -> None:
    get = (b"GET / HTTP/1.1", b"Host: a", b"Upgrade: websocket, a/1")
    for _ in range(2):
        assert request(checker, *get, b"Connection: keep-alive, Upgrade").upgrade == b"websocket, a/1"
        assert request(checker, *get).upgrade is None
        assert request(checker, b"GET / HTTP/1.0", b"Connection: upgrade", b"Upgrade: a").upgrade is None


def test_a_checker_does_not_take_a_head_for_a_body(checker: Checkers) -> None:
    """llhttp waits for a body that we take ourselves."""
    for _ in range(3):
        assert request(checker, b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1000").body == 1000
        with pytest.raises(ProtocolError):
            request(checker, b"GET / HTTP/1.1", b"Host: a", b"X : y")
        assert request(checker, b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked").body == CHUNKED
        with pytest.raises(ProtocolError):
            request(checker, b"GET / HTTP/1.1", b"Host: a", b"X\x00: y")


@pytest.mark.parametrize(
    ("codings", "status"),
    [(b"gzip, chunked", 501), (b"chunked, gzip", 400), (b"gzip", 400), (b"cow", 501), (b"chunked, chunked", 400)],
)
def test_codings(codings: bytes, status: int, checker: Checkers) -> None:
    with pytest.raises(ProtocolError) as refused:
        request(checker, b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: " + codings)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("method", "lines", "body"),
    [
        ("GET", [b"HTTP/1.1 200 OK", b"Content-Length: 5"], 5),
        ("GET", [b"HTTP/1.1 200 OK", b"Transfer-Encoding: Chunked"], CHUNKED),
        ("GET", [b"HTTP/1.1 200 OK"], UNTIL_CLOSE),
        ("GET", [b"HTTP/1.0 200"], UNTIL_CLOSE),
        ("HEAD", [b"HTTP/1.1 200 OK", b"Content-Length: 5"], 0),
        ("HEAD", [b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"], 0),
        ("GET", [b"HTTP/1.1 304 Not Modified", b"Content-Length: 5"], 0),
        ("GET", [b"HTTP/1.1 204 "], 0),
        ("GET", [b"HTTP/1.1 103 Early Hints", b"Link: a"], 0),
        ("CONNECT", [b"HTTP/1.1 200 OK", b"Content-Length: 5"], 0),
        ("CONNECT", [b"HTTP/1.1 404 No", b"Content-Length: 5"], 5),
    ],
)
def test_bodies_of_responses(method: str, lines: list[bytes], body: int, checker: Checkers) -> None:
    for _ in range(2):
        head = response(checker, *lines, method=method)
        assert head.body == body
        assert head.keep_alive is (body != UNTIL_CLOSE)


def test_a_reason(checker: Checkers) -> None:
    assert response(checker, b"HTTP/1.1 299 A \xe9 b").reason == "A \xe9 b"
    assert repr(response(checker, b"HTTP/1.1 299 A")) == "<HTTP/1.1 299 A>"


@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/1.1 99 A"],
        [b"HTTP/1.1 2000 A"],
        [b"HTTP/1.1  200 A"],
        [b"HTTP/1.1 200A"],
        [b"HTTP/2.0 200 A"],
        [b"HTTP/1.1 200 a\x00"],
        [b"HTTP/1.1 200 a\tb\x7f"],
        [b"ICY 200 OK"],
        [b"HTTP/1.1 101 S"],
        [b"HTTP/1.1 101 S", b"Upgrade:", b"Connection: upgrade"],
        [b"HTTP/1.1 200 OK", b"A : b"],
        [b"HTTP/1.1 200 OK", b"A: b", b" c"],
        [b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"HTTP/1.1 200 OK", b"Content-Length: 5", b"Content-Length: 5"],
        [b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip, chunked"],
        [b"HTTP/1.1 204 No", b"Transfer-Encoding:", b"Transfer-Encoding: chunked"],
        [b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked"],
        [b"HTTP/1.1 200 OK", *[b"A: b"] * 101],
    ],
)
def test_responses_that_cannot_be(lines: list[bytes], checker: Checkers) -> None:
    with pytest.raises(ProtocolError):
        response(checker, *lines)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"GET / HTTP/1.1\nA: b\r\n\r\n", "LF"),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", "first line"),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "next line"),
        (b"GET / HTTP/1.1\r\nA\r\n\r\n", "colon"),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", "blank"),
        (b"GET / HTTP/1.1\r\n@: b\r\n\r\n", "token"),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "control character"),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", "malformed"),
    ],
)
def test_problems_are_named(head: bytes, problem: str) -> None:
    assert problem in problem_of(head)


def test_an_error_can_be_copied() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(ProtocolError("a", 414)))
    assert (error.reason, error.status, str(error)) == ("a", 414, "a")


# All checkers agree, also on what nobody has thought of.

_WORDS = (
    b"\r\n|\n|\r| |\t|:|\0|\x7f|\xff|HTTP/1.1|HTTP/1.0|Content-Length: 5\r\n|Transfer-Encoding: chunked\r\n|chunked|,"
)
_WORDS += b"|Host: b\r\n|close|#|?|//|%|@|[|http://|Connection: |Upgrade: |keep-alive|Proxy-Connection: close\r\n|0|5"
WORDS = _WORDS.split(b"|")

RESPONSES = [
    b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
    b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
]
REQUESTS = [data for data in (*TAKEN.values(), *REFUSED.values()) if len(data) < 300 and not data.startswith(b"\r\n")]


def spoilt(head: bytes, rng: random.Random) -> bytes:
    """Return a complete head with a few changes."""
    changed = bytearray(head)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        at, other = rng.randrange(len(changed)), rng.randrange(len(changed))
        match rng.randrange(6):
            case 0 | 1:
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at : at + rng.choice((1, 1, 2, 5))]
            case 3:
                changed[at:at] = changed[min(at, other) : max(at, other)]
            case _:
                changed[at:at] = rng.choice(WORDS)
    found, end, _ = bytes(changed).lstrip(b"\r\n").partition(b"\r\n\r\n")
    return (found if end else found.rstrip(b"\r\n")) + b"\r\n\r\n"


def verdict(head: bytes, method: str, is_response: bool, checker: Checker, before: RequestHead | None = None) -> object:
    try:
        if is_response:
            got: RequestHead | ResponseHead = parse_response(head, method, LIMITS, checker)
        else:
            got = parse_request(head, LIMITS, checker, before)
    except ProtocolError as error:
        return error.status, error.reason
    slots = {name: getattr(got, name) for name in type(got).__slots__ if name != "_fields"}
    return slots, got.fields.raw


@pytest.mark.parametrize("seed", range(8))
def test_all_checkers_give_the_same_verdict(seed: int) -> None:
    kinds = [checkers_of(kind) for kind in checkers()]
    rng = random.Random(seed)
    taken = 0
    for _ in range(1000):
        is_response = rng.random() < 0.3
        head = spoilt(rng.choice(RESPONSES if is_response else REQUESTS), rng)
        method = rng.choice(("GET", "HEAD", "CONNECT"))
        found = [verdict(head, method, is_response, kind[is_response]) for kind in kinds]
        assert all(each == found[0] for each in found), head
        taken += isinstance(found[0], tuple) and isinstance(found[0][0], dict)
    assert 100 < taken < 900


@pytest.mark.parametrize("seed", range(4))
def test_an_earlier_request_changes_no_verdict(seed: int, checker: Checkers) -> None:
    rng = random.Random(seed)
    heads = [data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for data in TAKEN.values() if data[:1] != b"\r"]
    for _ in range(500):
        head = rng.choice(heads)
        before = parse_request(head, LIMITS, checker.requests)
        line, _, block = head.partition(b"\r\n")
        other = spoilt(line + b"\r\n\r\n", rng).removesuffix(b"\r\n\r\n")
        for changed in (other + b"\r\n" + block, rng.choice(heads).partition(b"\r\n")[0] + b"\r\n" + block):
            found = [verdict(changed, "", False, checker.requests, known) for known in (None, before)]
            assert found[0] == found[1], changed


def test_the_checkers_that_there_are() -> None:
    assert list(checkers())[-1] == "python"
