"""The test vectors of llhttp and h11: where each message ends, for them and for us.

`vectors.txt` has what they say. All differences are here, with what the RFCs say of each. In each of them one side
refuses, so nobody disagrees on where a message ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from socket2.http.messages.clientside import ClientSide
from socket2.http.messages.errors import ProtocolError
from socket2.http.messages.incoming import Upgraded
from socket2.http.messages.serverside import ServerSide

from ..conftest import Checkers


class Seen(NamedTuple):
    """How many messages are complete, how many bytes their bodies have, and why there are no more."""

    complete: int
    body: int
    end: str = ""  # or "upgrade", or why it is refused

    @property
    def is_refused(self) -> bool:
        return self.end not in ("", "upgrade")


def vectors() -> Iterator[tuple[str, bytes, Seen]]:
    text = (Path(__file__).parent / "vectors.txt").read_text("ascii")
    for block in text.removesuffix("\n").split("\n== ")[1:]:
        name, verdict, *lines = block.split("\n")
        _, complete, body, end = (*verdict.split(" ", 3), "")[:4]
        data = b"".join(
            re.sub(rb"\\x(..)", lambda found: bytes([int(found[1], 16)]), line.encode("ascii").removesuffix(b"\\"))
            + (b"" if re.search(r"\\$", line) else b"\r\n")
            for line in lines
        )
        yield name, data, Seen(int(complete), int(body), end)


VECTORS = {name: (data, seen) for name, data, seen in vectors()}

# What we refuse, and llhttp or h11 takes.
STRICTER = {
    "llhttp request: No HTTP version": "HTTP/0.9 has no fields and is obsolete: RFC 9112, 3",
    "llhttp request: CONNECT with body": "its content has no meaning, and servers disagree: RFC 9110, 9.3.6",
    "llhttp request: M-SEARCH request": "the target * is for OPTIONS: RFC 9112, 3.2.4; SSDP is not over TCP",
    "llhttp request: SOURCE request": "a method of Icecast; we have those that are registered",
    "llhttp request: SOURCE request with ICE": "not HTTP",
    "llhttp request: OPTIONS request with RTSP": "not HTTP",
    "llhttp request: ANNOUNCE request with RTSP": "not HTTP",
    "llhttp request: Fragment in URI": "a target has no fragment: RFC 9112, 3.2",
    "llhttp request: host:port and basic auth": "userinfo is treated as an error: RFC 9110, 4.2.4",
    "llhttp request: POST with chunked as last transfer-encoding": "501 is right for codings that we do not decode",
    "llhttp request: POST with chunked as last transfer-encoding (multiple headers)": "likewise: RFC 9112, 6.1",
    "llhttp response: RTSP response": "not HTTP",
    "llhttp response: ICE response": "not HTTP",
    "llhttp response: HTTP version 0.9": "HTTP/0.9 has no status line",
    "llhttp response: chunked before other transfer-encoding": "it ends with the connection, but we do not inflate it",
    "llhttp response: multiple transfer-encoding where chunked is not the last one": "likewise: RFC 9112, 6.3",
    "llhttp response: chunkedchunked transfer-encoding does not enable chunked enconding": "likewise",
    "llhttp response: HTTP 101 response with Upgrade and Content-Length header": "nobody asked: RFC 9110, 7.8",
    "llhttp response: HTTP 101 response with Upgrade and Transfer-Encoding header": "nobody asked: RFC 9110, 7.8",
    "h11 request: folded fields": "a server refuses or unfolds: RFC 9112, 5.2",
    "h11 request: blanks behind a chunk size": "blanks are only for extensions: RFC 9112, 7.1.1; llhttp refuses them",
    "h11 request: control character in a cookie": "a recipient may: RFC 9110, 5.5; llhttp does",
    "h11 request: two lengths that agree": "a recipient may: RFC 9110, 8.6; llhttp refuses them",
    "h11 request: length and coding": "a server may: RFC 9112, 6.1; llhttp does",
    "h11 response: LF behind a field": "a recipient may take LF: RFC 9112, 2.2; llhttp does not",
    "h11 response: only LF": "likewise",
    "h11 response: LF and CR LF": "likewise",
    "h11 response: 101 that nobody asked for": "RFC 9110, 7.8",
}

# Heads that are wrong, but not complete: llhttp refuses them at once, we do when they are complete.
LATER = {
    "llhttp request: Invalid HTTP version",
    "llhttp request: Invalid space after start line",
    "llhttp response: Invalid space after start line",
}


def requests(side: ServerSide, pieces: Sequence[bytes]) -> Seen:
    """Return what a server sees. It answers each request when it is complete, and switches protocols on CONNECT."""
    complete = body = 0
    for piece in pieces:
        side.receive(piece)
        try:
            while True:
                event = side.next()
                if isinstance(event, bytes):
                    body += len(event)
                elif event is None and side.request is not None and side.received_all:
                    complete += 1
                    if side.request.method == "CONNECT" or side.request.upgrade:
                        return Seen(complete, body, "upgrade")
                    side.head(200, (), 0)
                    side.end()
                    if not side.go_on():
                        return Seen(complete, body)
                elif event is None:
                    break
        except ProtocolError as error:
            return Seen(complete, body, str(error))
    return Seen(complete, body)


def responses(side: ClientSide, pieces: Sequence[bytes]) -> Seen:
    """Return what a client sees that asks again and again. Interim responses count, as they do for llhttp."""
    complete = body = 0

    def ask() -> None:
        side.head("GET", "/", {"host": "a"})
        side.end()

    ask()
    for piece in pieces:
        side.receive(piece)
        try:
            while True:
                event = side.next()
                if isinstance(event, Upgraded):
                    return Seen(complete + 1, body, "upgrade")
                if isinstance(event, bytes):
                    body += len(event)
                elif event is None and side.received_all:
                    complete += 1
                    if side.closing:
                        return Seen(complete, body)
                    side.next_exchange()
                    ask()
                elif event is None:
                    break
                elif getattr(event, "status", 200) < 200:
                    complete += 1
        except ProtocolError as error:
            return Seen(complete, body, str(error))
    return Seen(complete, body)


def ours(name: str, data: bytes, checker: Checkers, pieces: int) -> Seen:
    cut = [data[at : at + pieces] for at in range(0, len(data), pieces)]
    if " request: " in name:
        return requests(ServerSide(checker=checker.requests), cut)
    return responses(ClientSide(checker=checker.responses), cut)


@pytest.mark.parametrize("pieces", [1, 1 << 20])
def test_where_messages_end(pieces: int, checker: Checkers) -> None:
    stricter, later = set(), set()
    for name, (data, theirs) in VECTORS.items():
        seen = ours(name, data, checker, pieces)
        if seen.is_refused and not theirs.is_refused:
            stricter.add(name)
        elif theirs.is_refused and not seen.is_refused:
            assert seen == Seen(0, 0), name
            later.add(name)
        else:
            assert seen[:2] == theirs[:2], name
    assert stricter == set(STRICTER)
    assert later == LATER
