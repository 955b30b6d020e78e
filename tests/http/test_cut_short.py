"""A handler gives up an operation and goes on: what the client gets then, and what the access log says about it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import socket2
from socket2 import http

from .scene import connect, everything, exchanges, serve

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"  # its body never ends
LARGE = 1 << 25  # more than any system keeps for a client that does not receive


async def give_up_reading(request: http.Request) -> None:
    with socket2.move_on_after(0.001):
        await request.read()


def test_after_a_read_that_was_given_up_the_handler_answers() -> None:
    async def answer(request: http.Request) -> None:
        await give_up_reading(request)
        await request.respond(408, b"slow", {"Connection": "close"})

    assert exchanges(answer, HALF, end=False).endswith(b"\r\n\r\nslow")


@pytest.mark.parametrize("error", [ValueError("a mistake"), http.ProtocolError("unfit", 422)])
def test_after_a_read_that_was_given_up_an_error_is_answered(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: http.Request) -> None:
        await give_up_reading(request)
        raise error

    limits = http.Limits(body_s=0.05)
    status = b"500" if isinstance(error, ValueError) else b"422"
    assert exchanges(answer, HALF, end=False, limits=limits).startswith(b"HTTP/1.1 " + status)
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == [
        "socket2.http.server" for _ in range(status == b"500")
    ]


def test_two_threads_that_read_at_the_same_time_are_a_mistake_of_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: http.Request) -> None:
        async with socket2.threadset() as ts:
            ts.newthread(request.read)
            await socket2.sleep(0)
            try:
                await request.read()
            finally:
                ts.cancel()

    assert exchanges(answer, HALF, end=False, limits=http.Limits(body_s=0.05)).startswith(b"HTTP/1.1 500 ")
    assert "reading" in caplog.text


@pytest.mark.parametrize("kind", ["whole", "of known length", "in chunks", "to the end"])
def test_nothing_is_sent_behind_an_answer_that_was_given_up(kind: str) -> None:
    """The client would take it for the rest of the answer."""
    given_up = 0
    raised: list[str] = []

    async def answer(request: http.Request) -> None:
        nonlocal given_up
        if given_up:
            await request.respond(200, b"the second answer")
        with socket2.move_on_after(0.001) as block:
            if kind == "whole":
                await request.respond(200, bytes(LARGE))
            else:
                await request.start(200, length=2 * LARGE if kind == "of known length" else None)
                await request.send(bytes(LARGE))
        given_up += block.cut_short
        if kind != "whole":
            try:
                await request.send(b"more")
            except OSError as error:
                raised.append(str(error))

    async def client(server: socket2.Server) -> bytes:
        with await connect(server) as stream:
            await stream.sendall(GET.replace(b"1.1", b"1.0") if kind == "to the end" else GET * 2)
            while not given_up:
                await socket2.sleep(0.001)
            try:
                return await everything(stream)
            except ConnectionResetError:
                return b"reset"

    got = serve(answer, client)
    assert (got == b"reset") == (kind == "to the end")
    assert b"HTTP" not in got[10:]
    assert b"more" not in got
    assert not got.endswith(b"0\r\n\r\n")
    assert len(got) < LARGE
    assert len(raised) == (kind != "whole")


# What the access log says.


def test_answers_that_are_not_complete_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "socket2.http.access")
    waiting = socket2.Event()
    handlers: list[socket2.Thread[Any]] = []

    async def answer(request: http.Request) -> None:
        handlers.append(socket2.currentthread())
        if request.path == "/half":
            await request.start(200, length=10)
            await request.send(b"abc")
        elif request.path == "/large":
            with socket2.move_on_after(0.001):
                await request.respond(200, bytes(LARGE))
            return
        elif request.path == "/body":
            await request.start(200)
            await request.send(b"abcd")
            await request.read()
        waiting.set()
        await socket2.sleep(1000)

    async def client(server: socket2.Server) -> None:
        for path in (b"/half", b"/none", b"/large", b"/body"):
            with await connect(server) as stream:
                post = path == b"/body"
                await stream.sendall((HALF if post else GET).replace(b" / ", b" %b " % path))
                if post:
                    stream.shutdown()
                elif path == b"/large":
                    await everything(stream)
                else:
                    await waiting.wait()
                    waiting.clear()
                    handlers[-1].cancel()
                await everything(stream)

    serve(answer, client, access_log="json")
    records: list[Any] = [vars(record) for record in caplog.records if record.name == "socket2.http.access"]
    found = [(record["status"], record["sent_bytes"], record["complete"]) for record in records]
    assert found[:2] == [(200, 3, False), (0, 0, False)]
    assert found[2][0] == 200
    assert 0 < found[2][1] < LARGE
    assert found[3] == (200, 4, False)
    assert '"status": null' in records[1]["message"]
    assert '"complete": false' in records[1]["message"]
