"""Requests that are no requests, and handlers that fail: what the client gets, and what is logged."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import socket2
from socket2 import http
from socket2.http import Request

from ..garbage import left_by
from .scene import ask, connect, everything, exchanges, serve
from .smuggled import REFUSED, TAKEN, chunked, post
from .test_server import GET, HELLO, OK, echo, hello

# Malformed requests, over real connections.


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_answered_so_that_the_answer_arrives(name: str) -> None:
    found = exchanges(echo, REFUSED[name], end=False)
    assert found[:9] == b"HTTP/1.1 "
    assert int(found[9:12]) >= 400
    assert b"connection: close\r\n" in found


def test_what_is_correct_is_answered() -> None:
    async def client(server: socket2.Server) -> None:
        for name, data in TAKEN.items():
            found = (await ask(server, data)).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
            assert found.count(OK) == found.count(b"HTTP/1.1 ") == data.count(b"HTTP/1."), name

    serve(echo, client)


# Errors of handlers.


async def fail(request: Request) -> None:
    raise ValueError("secret")


def fail_at_once(request: Request) -> None:
    raise ValueError("secret")


async def begin_and_fail(request: Request) -> None:
    await request.start(200)
    raise ValueError("secret")


async def do_nothing(request: Request) -> None:
    pass


@pytest.mark.parametrize("handler", [fail, fail_at_once, do_nothing])
def test_a_handler_that_does_not_answer(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = exchanges(handler, GET, GET)
    assert found.count(b"HTTP/1.1 500 Internal Server Error\r\n") == 2
    assert b"secret" not in found
    records = [record for record in caplog.records if record.name == "socket2.http.server"]
    assert [record.levelno for record in records] == [logging.ERROR] * 2
    assert ("secret" in caplog.text) == (handler is not do_nothing)
    assert "UnboundLocalError" not in caplog.text


@pytest.mark.parametrize("length", [None, 10])
def test_a_handler_that_fails_within_its_answer(length: int | None, caplog: pytest.LogCaptureFixture) -> None:
    async def begin(request: Request) -> None:
        await request.start(200, length=length)
        await request.send("hello")
        raise ValueError("secret")

    found = exchanges(begin, GET, GET)
    assert found.count(b"HTTP/1.1") == 1
    assert not found.endswith(b"0\r\n\r\n")
    assert b"secret" not in found
    assert "secret" in caplog.text


def test_an_answer_without_an_end_is_reset_if_its_handler_fails() -> None:
    async def begin(request: Request) -> None:
        await request.start(200)
        await request.send("hello")
        raise ValueError

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await everything(stream)

    serve(begin, client)


def test_an_answer_that_is_too_short_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def begin(request: Request) -> None:
        await request.start(200, length=10)
        await request.send("hello")

    assert exchanges(begin, GET, GET) == OK + b"content-length: 10\r\n\r\nhello"
    assert "5 bytes less" in caplog.text


def test_a_malformed_body_cuts_off_an_answer_that_has_begun() -> None:
    async def mirror(request: Request) -> None:
        await request.start(200)
        while data := await request.recv():
            await request.send(data)

    found = exchanges(mirror, chunked(b"5\r\nhello\r\nx\r\n"), end=False)
    assert found == OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_a_handler_that_catches_an_error_of_the_body_answers_itself() -> None:
    async def take(request: Request) -> None:
        try:
            await request.read()
        except http.ProtocolError as error:
            await request.respond(422, error.reason)

    found = exchanges(take, chunked(b"x\r\n"), GET, end=False)
    assert found.startswith(b"HTTP/1.1 422 Unprocessable Content\r\n")
    assert b"connection: close\r\n" in found
    assert found.count(b"HTTP/1.1") == 1


def test_a_client_that_leaves_is_no_fault_of_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gone = socket2.Event()

    async def take(request: Request) -> None:
        try:
            await request.read()
        finally:
            gone.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 5\r\n", b"he"))
            stream.sock.setopt("linger", 0)
        await gone.wait()

    serve(take, client, grace_s=5)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "reset" in caplog.text


def test_a_request_is_over_when_its_handler_ends() -> None:
    kept: list[Request] = []

    async def keep(request: Request) -> None:
        kept.append(request)
        await request.respond(200, "hello")

    assert exchanges(keep, GET) == HELLO
    assert kept[0].path == "/"
    for call in (kept[0].recv, kept[0].end, lambda: kept[0].respond(200), lambda: kept[0].answered):
        with pytest.raises(RuntimeError, match="over"):
            call()


def test_an_answer_that_is_not_awaited_is_none(caplog: pytest.LogCaptureFixture) -> None:
    async def forget(request: Request) -> None:
        request.respond(200, "hello").close()

    assert exchanges(forget, GET).startswith(b"HTTP/1.1 500 ")


def test_what_cannot_be_a_handler() -> None:
    with pytest.raises(TypeError):
        http.handler(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="common"):
        http.handler(hello, access_log="short")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("handler", "data"),
    [(hello, GET), (fail, GET), (echo, chunked(b"x\r\n")), (hello, b"nonsense\r\n"), (begin_and_fail, GET)],
)
def test_no_reference_cycle_is_left(handler: Any, data: bytes) -> None:
    assert not left_by(lambda: exchanges(handler, data))


def test_no_reference_cycle_is_left_by_a_client_that_leaves() -> None:
    async def read(request: Request) -> None:
        await request.recv()

    async def client(server: socket2.Server) -> None:
        stream = await connect(server)
        await stream.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        await socket2.sleep(0)
        stream.sock.setopt("linger", 0)
        stream.close()

    assert not left_by(lambda: serve(read, client))
