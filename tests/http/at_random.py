"""Messages at random, most of them spoilt: `python -m tests.http.at_random --total 1000000`.

Whatever the pieces they come in and whoever checks the syntax, the same messages must be seen. llhttp with its own
framing must find the same ends of all messages that we take. A failure prints the seed of its stream.
"""

from __future__ import annotations

import argparse
import random
import re
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from socket2.http.messages.clientside import ClientSide
from socket2.http.messages.framing import UNTIL_CLOSE
from socket2.http.messages.heads import checkers
from socket2.http.messages.serverside import ServerSide

from .conftest import checkers_of
from .messages.test_heads import RESPONSES
from .messages.test_splits import BODIES, REQUESTS, is_refused, known, stream
from .sides import Happened, read, serve, split

METHODS = ["GET"] * 9

# RFC 9112, 7.1.1 wants blanks in the extensions of chunks taken. llhttp refuses them.
BLANKS = re.compile(rb"\n[0-9A-Fa-f]+[^\r\n]*[ \t]").search

Message = tuple[bytes, bytes]  # the target or the status, and the body


class Seen:
    """The messages that llhttp finds."""

    def __init__(self, is_response: bool) -> None:
        self.messages: list[Message] = []
        self.begun = [b"", b""]
        self.parser: Any = HttpResponseParser(self) if is_response else HttpRequestParser(self)
        self.is_response = is_response
        self.closes = False  # because of fields that do not count here: Proxy-Connection, and what is in trailers

    def on_message_begin(self) -> None:
        self.begun = [b"", b""]

    def on_headers_complete(self) -> None:
        if self.is_response:
            self.begun[0] = b"%d" % self.parser.get_status_code()

    def on_url(self, part: bytes) -> None:
        self.begun[0] += part

    def on_body(self, part: bytes) -> None:
        self.begun[1] += part

    def on_message_complete(self) -> None:
        self.messages.append((self.begun[0], self.begun[1]))
        self.closes = not self.parser.should_keep_alive()


def seen_by_llhttp(data: bytes, is_response: bool) -> Seen:
    seen = Seen(is_response)
    parser = seen.parser
    try:
        parser.feed_data(data)
    except (HttpParserUpgrade, HttpParserError):
        pass
    return seen


def complete(happened: Happened) -> list[Message]:
    """Return the messages whose end we have seen."""
    found: list[Message] = []
    begun: Message | None = None
    for event in happened:
        match event:
            case ("request", _, target, _, _, body, _):
                begun = target, b""
                if body == 0:
                    found.append(begun)
            case ("response", status, _, _, _, body, _):
                begun = b"%d" % status, b""
                if status < 200:
                    found.append(begun)
                elif body == UNTIL_CLOSE:
                    return found  # llhttp does not learn of the end
            case ("data", data):
                assert begun is not None
                begun = begun[0], data
            case ("end", _):
                assert begun is not None
                if not found or found[-1] is not begun:
                    found.append(begun)
    return found


def attempt(seed: int) -> bool:
    """Compare what is seen of one stream. Return whether it was taken. Raises AssertionError."""
    rng = random.Random(seed)
    kinds = [checkers_of(kind) for kind in checkers()]
    is_response = rng.random() < 0.3
    data = stream([head + rng.choice(BODIES) for head in RESPONSES] if is_response else REQUESTS, rng) or b"x"

    def happened(number: int, pieces: list[bytes]) -> Happened:
        if is_response:
            return read(ClientSide(checker=kinds[number].responses), pieces, METHODS)
        return serve(ServerSide(checker=kinds[number].requests), pieces)

    whole = happened(0, [data])
    others = [(number, [data]) for number in range(1, len(kinds))]
    for number, pieces in (*others, (rng.randrange(len(kinds)), split(data, rng) if len(data) > 1 else [data])):
        other = happened(number, pieces)
        assert (known(other), is_refused(other)) == (known(whole), is_refused(whole)), (seed, data)
    ours, seen = complete(whole), seen_by_llhttp(data, is_response)
    if seen.closes:
        ours = ours[: len(seen.messages)]
    if not BLANKS(data):
        assert seen.messages[: len(ours)] == ours, (seed, data, ours, seen.messages)
    return not is_refused(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total", type=int, default=100_000, help="how many streams")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    options = parser.parse_args()
    taken = sum(attempt(seed) for seed in range(options.seed, options.seed + options.total))
    print(f"{options.total} streams, {taken} of them taken, no disagreement")


if __name__ == "__main__":
    main()
