"""Signal handlers that raise anywhere in the code of the server, while the handler of the request catches that."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

import socket2
from socket2 import http

from ..injection import EACH_ERROR, PlacedInjection, Raised, RaisedError, at_each_place
from .scene import connect, serve

FILES = {
    sys.modules[f"socket2.http.{name}"].__file__ or ""
    for name in (
        "messages.chunks",
        "messages.heads",
        "messages.incoming",
        "messages.outgoing",
        "messages.serverside",
        "serving.body",
        "serving.conversation",
        "serving.exchange",
        "serving.request",
    )
}


def whole(request: http.Request, body: bytes) -> Generator[Any, None, None]:
    yield from request.respond(200, body)


def with_a_field(request: http.Request, body: bytes) -> Generator[Any, None, None]:
    yield from request.respond(200, body, {"Connection": "keep-alive"})


def in_chunks(request: http.Request, body: bytes) -> Generator[Any, None, None]:
    yield from request.start(200, {"A": "b"}, flush=False)
    yield from request.send(body)
    yield from request.end({"Trailer": "c"})


def in_pieces(request: http.Request, body: bytes) -> Generator[Any, None, None]:
    yield from request.start(200, length=len(body))
    yield from request.send(body[:2])
    yield from request.send(body[2:])


Way = Callable[[http.Request, bytes], Any]


def requests(body: bytes) -> bytes:
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\n%b\r\n"
    if body:
        parts = [
            head % (n, b"Transfer-Encoding: chunked\r\n") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            for n in range(3)
        ]
    else:
        parts = [head % (n, b"") for n in range(3)]
    return b"".join(parts)


LINES = rb"(?:[^\r]+\r\n)*"
FRAMING = rb"(?:content-length: (\d+)|transfer-encoding: chunked)\r\n"
ANSWER = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n" + LINES + rb"?" + FRAMING + LINES + rb"\r\n")


def answers(data: bytes) -> list[bytes]:
    """Return the bodies of the answers. The last one may be a part of one."""
    found: list[bytes] = []
    while data:
        head = ANSWER.match(data)
        if head is None:
            assert data.startswith(b"HTTP/1.1 ") or b"HTTP/1.1 ".startswith(data), data
            assert b"HTTP" not in data[1:], data
            return found
        data = data[head.end() :]
        if head[2]:
            body, data = data[: int(head[2])], data[int(head[2]) :]
            assert b"HTTP" not in body, body
        else:
            chunks = re.match(rb"(?:[1-9a-f]\r\n([^\r]*)\r\n)?(0\r\n(?:trailer: c\r\n)?\r\n)?", data)
            assert chunks
            body, data = chunks[1] or b"", data[chunks.end() :]
            assert chunks[2] or not data, data
        found.append(body if head[1] == b"200" else b"/%d" % len(found))
    return found


# Each takes a second, so the usual run has only a few.
CASES = [(way, body) for way in (whole, with_a_field, in_chunks, in_pieces) for body in (b"", b"hello")]
SOME = [(whole, b""), (with_a_field, b"hello"), (in_chunks, b"hello")]


@pytest.mark.parametrize(("way", "body"), CASES if EACH_ERROR else SOME)
def test_answers_are_in_order_or_the_connection_ends(way: Way, body: bytes) -> None:
    def attempt(injection: PlacedInjection) -> None:
        def answer(request: http.Request) -> Generator[Any, None, None]:
            for _ in range(2):
                with contextlib.suppress(Raised, RaisedError, RuntimeError, OSError, http.ProtocolError):
                    got = yield from request.read()
                    yield from way(request, request.target.encode() + got)
                    return

        async def client(server: socket2.Server) -> bytes:
            with await connect(server) as stream, injection:
                await stream.sendall(requests(body))
                stream.shutdown()
                got: bytes = await stream.recvall()
            return got

        got = serve(answer, client, limits=http.Limits(body_s=0.1))
        found = answers(got)
        assert len(found) <= 3, (injection.where, got)
        for number, one in enumerate(found):
            assert (b"/%d%b" % (number, body)).startswith(one), (injection.where, got)

    assert at_each_place(attempt, FILES, Raised, RaisedError) > 50  # more without the part in C
