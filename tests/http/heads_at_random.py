"""Heads at random, in C and in Python: `python -m tests.http.heads_at_random --total 1000000`.

Whatever C takes as a usual request must be what Python makes of it, and both must find the same heads well-formed. A
failure prints the seed of its head.
"""

from __future__ import annotations

import argparse
import random

from socket2.http.messages.heads import checkers
from socket2.http.messages.syntax import Pattern

from .messages.test_heads import LIMITS, REQUESTS, RESPONSES, spoilt, verdict

KINDS = checkers()
LINES = [
    line.encode("latin-1")
    for text in (
        "Host: a|host:[::1]:80|HOST: a.b:8080 |Host: %41|Host: [v1.a]|Host:|Host: a:b|Host: a:123456|Host: a b",
        "Content-Length: 0|content-length:17 |Content-Length: 999999999999999999|Content-Length: 1_0",
        "Content-Length: 9999999999999999999|Content-Length: +1|Content-Length: 9223372036854775808",
        "Transfer-Encoding: chunked|transfer-encoding:\tchunked|Transfer-Encoding: CHUNKED |TE: trailers",
        "Transfer-Encoding: gzip, chunked|Connection: close|Connection: a,,\tClose|Connection: keep-alive",
        "Connection: closed,upgrade|Connection:|Connection: ,|Upgrade: a|Expect: 100-continue|Expected: a",
        "Accept: */*|User-Agent: a (b; c)|Cookie: a=b; c=d|X: \xff\t\x80|X:|Hosts: a|E: a|X : a|: a",
    )
    for line in text.split("|")
]
FIRST_LINES = [
    b"GET / HTTP/1.1",
    b"POST /a?b=c HTTP/1.1",
    b"HEAD /a%20 HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /a HTTP/1.0",
    b"PUT //a;b HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
    b"GET /\xff HTTP/1.1",
]


def composed(rng: random.Random) -> bytes:
    """Return a head of lines that are mostly right, each for itself."""
    lines = [
        rng.choice(FIRST_LINES[:3] * 4 + FIRST_LINES),
        rng.choice(LINES[:3]),
        *rng.choices(LINES, k=rng.randrange(4)),
    ]
    rng.shuffle(fields := lines[1:])
    return b"\r\n".join((lines[0], *fields, b"", b""))


def attempt(seed: int) -> bool:
    """Compare what C and Python make of one head. Return whether it was a usual one. Raises AssertionError."""
    rng = random.Random(seed)
    is_response = rng.random() < 0.1
    if is_response or rng.random() < 0.2:
        head = spoilt(rng.choice(RESPONSES if is_response else REQUESTS), rng)
    else:
        head = composed(rng)
        if rng.random() < 0.4:
            head = spoilt(head, rng)
    ours, twin = KINDS["c"](is_response), Pattern(is_response)
    assert ours.check(head) is bool(twin.check(head)), (seed, head)
    if is_response or ours.usual is None or ours.usual(head, LIMITS) is None:
        return False
    assert verdict(head, "", False, ours) == verdict(head, "", False, twin), (seed, head)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=100_000, help="how many heads")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    options = parser.parse_args()
    usual = sum(attempt(seed) for seed in range(options.seed, options.seed + options.total))
    print(f"{options.total} heads, {usual} of them usual, no disagreement")


if __name__ == "__main__":
    main()
