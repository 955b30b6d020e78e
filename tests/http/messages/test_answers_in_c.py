"""Whole answers and exchanges in C: the same bytes and the same state as in Python, or the work is left to Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from socket2.http.messages import dates
from socket2.http.messages.compiled import compiled
from socket2.http.messages.fields import Fields, Given, _received_pairs, received_pairs
from socket2.http.messages.outgoing import Written, written
from socket2.http.messages.serverside import ServerSide

from ...native.test_memory import failing

pytestmark = pytest.mark.skipif(compiled is None, reason="the part in C is not built, or switched off")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STATE = [name for name in ServerSide.__slots__ if name not in ("incoming", "request", "_before", "_checker", "limits")]

HEADERS: list[Any] = [
    (),
    {},
    [],
    {"Content-Type": "text/plain"},
    [("A", "1"), (b"b", b" 2\t"), ("C", "\xe9")],
    ((b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")),
    Fields({"a": "b"}),
    Written({"a": "b"}),
    Written([("content-length", "5")]),
    Written([("connection", "a")]),
    {"date": "now"},
    Written([("Date", "now"), ("Host", "a")]),
    {"content-length": "5"},
    {"Content-Length": "05"},
    {"content-length": "6"},
    [("content-length", "5"), ("Content-length", "5")],
    {"content-length": ""},
    {"content-length": "5" * 30},
    {"connection": "close"},
    {"connection": "keep-alive"},
    {"transfer-encoding": "chunked"},
    {"a b": "c"},
    {"": "c"},
    {"a": "b\r\nc: d"},
    {"a\n": "b"},
    {"a": "\u20ac"},
    {"a": 5},
    [("a",)],
    [["a", "b"]],
    (pair for pair in [("a", "b")]),
    5,
]
STATUSES: list[Any] = [200, 404, 999, 204, 304, 199, 1000, 99, -1, True, 10**30, "200", 200.0]


def side(request: bytes = GET) -> ServerSide:
    made = ServerSide()
    assert made.take(request) is not None
    return made


def outcome(made: ServerSide, *args: Any, in_c: bool) -> object:
    """Return what whole() gives, and the state behind it."""
    whole: Any = type(made).__dict__["whole"]
    try:
        data = (whole if in_c else whole.__wrapped__)(made, *args)
    except Exception as error:
        data = type(error), str(error)
    return data, {name: getattr(made, name) for name in STATE}


@pytest.fixture(autouse=True)
def same_second(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both ask for the date, perhaps in two seconds."""
    assert compiled is not None
    monkeypatch.setattr(dates, "wall_clock", lambda: 1e9)
    compiled.tell("date_line", dates.date_line)  # C forgets the date that it has
    yield
    compiled.tell("date_line", dates.date_line)


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_headers(number: int) -> None:
    given = HEADERS[number]
    if hasattr(given, "send"):
        given = [("a", "b")].__iter__
        assert outcome(side(), 200, given(), b"hello", in_c=True) == outcome(side(), 200, given(), b"hello", in_c=False)
    else:
        assert outcome(side(), 200, given, b"hello", in_c=True) == outcome(side(), 200, given, b"hello", in_c=False)


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(status: Any) -> None:
    for given in ((), Written(())):
        assert outcome(side(), status, given, b"hello", in_c=True) == outcome(
            side(), status, given, b"hello", in_c=False
        )


@pytest.mark.parametrize("body", [b"", b"x" * 100_000, bytearray(b"hello"), memoryview(b"hello"), "text", None])
def test_bodies(body: Any) -> None:
    assert outcome(side(), 200, (), body, in_c=True) == outcome(side(), 200, (), body, in_c=False)


@pytest.mark.parametrize("line", [b"HEAD / HTTP/1.1", b"GET / HTTP/1.0", b"POST / HTTP/1.1", b"OPTIONS * HTTP/1.1"])
def test_requests(line: bytes) -> None:
    for more in (b"", b"Connection: close\r\n"):
        request = line + b"\r\nHost: a\r\n" + more + b"\r\n"
        assert outcome(side(request), 200, (), b"a", in_c=True) == outcome(side(request), 200, (), b"a", in_c=False)


def test_a_second_answer_is_left_to_python() -> None:
    made = side()
    assert made.whole(200, (), b"a") is not None
    assert made.whole(200, (), b"a") is None
    assert made.go_on()
    assert made.request is None
    assert made.whole(200, (), b"a") is None
    assert not made.go_on()


NAMES = ["a", "Content-Length", "Date", "Host", "X-Y", "Connection", "a:", "", "\xe9", b"b", b"content-length"]
VALUES = ["", "5", " 5 ", "x", "close", "\xe9", "\u20ac", b"\x00", b"5", "a\tb", "a\r", b"\xff"]


@pytest.mark.parametrize("seed", range(20))
def test_headers_at_random(seed: int) -> None:
    rng = random.Random(seed)
    answered = 0
    for _ in range(100):
        pairs: Any = [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        given: Given = rng.choice((list, tuple, dict))(pairs)
        found = [outcome(side(), 200, given, b"hello", in_c=in_c) for in_c in (True, False)]
        assert found[0] == found[1], given
        answered += isinstance(found[0], tuple) and isinstance(found[0][0], bytes)
    assert 10 < answered < 90


def fields_of(make: Any, given: Any) -> object:
    try:
        fields = make(given)
    except Exception as error:
        return type(error), str(error)
    return {name: getattr(fields, name) for name in Written.__slots__}


@pytest.mark.parametrize("seed", range(20))
def test_fields_at_random(seed: int) -> None:
    rng = random.Random(seed)
    taken = 0
    for _ in range(100):
        given: Any = [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        given = rng.choice((list, tuple, dict))(given)
        assert fields_of(written, given) == fields_of(Written, given), given
        assert compiled is not None
        taken += compiled.written(given) is not None
    assert 10 < taken < 90


@pytest.mark.parametrize("seed", range(20))
def test_lines_at_random(seed: int) -> None:
    """Also those that no head can have."""
    rng = random.Random(seed)
    for _ in range(100):
        block = b"".join(
            rng.choices((b"A", b"b: ", b":", b"\r\n", b"\r", b"\n", b" ", b"\t", b"Xy\xff"), k=rng.randrange(20))
        )
        assert received_pairs(block) == _received_pairs(block), block


@pytest.mark.parametrize("number", range(16))
def test_each_allocation_of_fields_fails_once(number: int) -> None:
    assert compiled is not None
    made: list[Any] = []
    for make, given in ((compiled.pairs, b"a: b\r\nc: d\r\n"), (compiled.written, {"a": "b", "content-length": "700"})):
        with failing(number) as errors:
            made.append(make(given))
        assert errors or made.pop() is not None


@pytest.mark.parametrize("number", range(16))
def test_each_allocation_fails_once(number: int) -> None:
    made = side()
    with failing(number):
        data = made.whole(200, {"a": "b"}, b"hello")
        assert data is not None
        assert data.endswith(b"\r\n\r\nhello")
        assert made.go_on()
    made = side()
    with failing(number):
        made.take(GET)


def test_only_what_is_known_can_be_told() -> None:
    assert compiled is not None
    for wrong in (int, "ServerSide", type("ServerSide", (), {})):
        with pytest.raises((TypeError, AttributeError)):
            compiled.learn(wrong)
    compiled.learn(ServerSide)
    with pytest.raises(TypeError):
        compiled.tell("something", 1)
    with pytest.raises(TypeError):
        compiled.tell("date_line")
    with pytest.raises((TypeError, RuntimeError)):  # before Python 3.12, the one is the cause of the other
        type("Other", (), {"take": compiled.usually(lambda: None)})
    assert side().take.__name__ == "take"
    assert "ServerSide.take" in repr(ServerSide.__dict__["take"])
