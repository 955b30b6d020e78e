"""However a message is cut into pieces, the same events come out, with all checkers, and no error but ours."""

from __future__ import annotations

import random

import pytest

from socket2.http.messages.clientside import ClientSide
from socket2.http.messages.heads import checkers
from socket2.http.messages.serverside import ServerSide

from ..conftest import checkers_of
from ..sides import Happened, read, serve, split
from ..smuggled import REFUSED, TAKEN
from .test_heads import RESPONSES, WORDS

REQUESTS = [data for data in (*list(TAKEN.values()) * 9, *REFUSED.values()) if len(data) < 300]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"]


def stream(parts: list[bytes], rng: random.Random) -> bytes:
    """Return a few messages behind one another, most of them spoilt."""
    data = bytearray(b"".join(rng.choices(parts, k=rng.choice((1, 1, 2, 3)))))
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.choice((0, 0, 1, 3))] = rng.choice((rng.choice(WORDS), rng.randbytes(1)))
    return bytes(data)


def is_refused(happened: Happened) -> bool:
    return happened[-1:] != [] and happened[-1][0] == "refused"


def known(happened: Happened) -> Happened:
    """Return what does not depend on the pieces: a message may be refused before or after a part of its body is seen.

    A piece with a whole head and one that ends within it are refused for different reasons, if there are two.
    """
    if is_refused(happened):
        happened = happened[:-1]
        return happened[:-1] if happened[-1:] and happened[-1][0] == "data" else happened
    return happened


@pytest.mark.parametrize("seed", range(8))
def test_any_split_gives_the_same_events(seed: int) -> None:
    kinds = [checkers_of(kind) for kind in checkers()]
    rng = random.Random(seed)
    taken = 0
    for _ in range(150):
        data = stream(REQUESTS, rng) or b"x"
        whole = serve(ServerSide(checker=kinds[0].requests), [data])
        taken += not is_refused(whole)
        for kind in kinds:
            happened = serve(ServerSide(checker=kind.requests), split(data, rng))
            assert (known(happened), is_refused(happened)) == (known(whole), is_refused(whole))
    assert 30 < taken < 120


@pytest.mark.parametrize("seed", range(4))
def test_any_split_of_responses_gives_the_same_events(seed: int) -> None:
    kinds = [checkers_of(kind) for kind in checkers()]
    rng = random.Random(seed)
    for _ in range(150):
        data = stream([a + b for a in RESPONSES for b in BODIES], rng)
        methods = rng.choices(("GET", "HEAD", "CONNECT"), weights=(5, 1, 1), k=3)
        if "CONNECT" in methods:
            methods = ["CONNECT"]
        whole = read(ClientSide(checker=kinds[0].responses), [data], methods)
        for kind in kinds:
            happened = read(ClientSide(checker=kind.responses), split(data, rng), methods)
            assert (known(happened), is_refused(happened)) == (known(whole), is_refused(whole))


@pytest.mark.parametrize("name", [*TAKEN, *REFUSED])
def test_byte_by_byte(name: str) -> None:
    data = (TAKEN | REFUSED)[name]
    if len(data) < 1000:
        whole, bytewise = (serve(ServerSide(), pieces) for pieces in ([data], [bytes([byte]) for byte in data]))
        assert known(whole) == known(bytewise)
        assert (name in REFUSED) == (bytewise[-1][0] == "refused")


@pytest.mark.parametrize("body", [b"a\nb", b"\x00\x7f", b"a\r"])
@pytest.mark.parametrize("at", [1, 5, 18, 30])
def test_a_body_is_not_taken_for_the_begin_of_the_next_head(body: bytes, at: int) -> None:
    get = b"GET / HTTP/1.1\r\nHost: a\r\nA: 12345\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    happened = serve(ServerSide(), [post + get[:at], get[at:]])
    assert [event[0] for event in happened] == ["request", "data", "end", "request"]


def test_a_head_that_cannot_be_is_refused_early_behind_a_body_too() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\n"
    side = ServerSide()
    assert serve(side, [post + b"GET / HTTP/1.1\nHost"])[-1] == ("refused", 400)
    assert not side.incoming.ended
