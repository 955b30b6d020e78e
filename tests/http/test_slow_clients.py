"""Clients that make the server wait, and what becomes of connections when it stops."""

from __future__ import annotations

import logging
import re

import pytest

import socket2
from socket2.http import Limits, Request
from socket2.http.serving import conversation

from .scene import connect, everything, serve, whole_answer
from .smuggled import chunked, post

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHORT_S = 0.02


async def echo(request: Request) -> None:
    await request.respond(200, await request.read())


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize("limits", [Limits(head_s=SHORT_S), Limits(head_s=SHORT_S, idle_s=None, send_s=None)])
def test_a_head_that_is_too_slow(before: bytes, limits: Limits) -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            if before:
                await stream.sendall(before)
                await whole_answer(stream)
            await stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            found = await everything(stream)
            assert found.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"connection: close\r\n" in found

    serve(echo, client, limits=limits)


def test_a_head_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole head, however often something comes."""
    monkeypatch.setattr(conversation, "_LINGER_S", SHORT_S)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(b"GET / HTTP/1.1\r\n")
            with pytest.raises(ConnectionError):
                while True:
                    await stream.sendall(b"A: b\r\n")
                    await socket2.sleep(0.001)

    serve(echo, client, limits=Limits(head_s=SHORT_S, head_bytes=1 << 30))


def test_a_connection_without_a_request_is_closed_without_an_answer() -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            assert await everything(stream) == b""

    serve(echo, client, limits=Limits(head_s=SHORT_S))


@pytest.mark.parametrize("behind", [b"", b"\r\n"])
@pytest.mark.parametrize("limits", [Limits(idle_s=SHORT_S), Limits(idle_s=SHORT_S, send_s=None, head_s=SHORT_S)])
def test_a_connection_that_is_idle_is_closed_without_an_answer(limits: Limits, behind: bytes) -> None:
    """Empty lines behind a request begin no other one."""

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            for _ in range(3):
                await stream.sendall(GET + behind)
                await whole_answer(stream)
            assert await everything(stream) == b""

    serve(echo, client, limits=limits)


@pytest.mark.parametrize("begun", [post(b"Content-Length: 5\r\n", b"he"), chunked(b"5\r\nhe")])
def test_a_body_that_is_too_slow(begun: bytes) -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(begun)
            assert (await everything(stream)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")

    serve(echo, client, limits=Limits(body_s=SHORT_S, body_rate=1 << 30))


def test_a_body_that_comes_drop_by_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is one for all waits for the body."""
    monkeypatch.setattr(conversation, "_LINGER_S", SHORT_S)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 100000\r\n", b""))
            with pytest.raises(ConnectionError):
                while True:
                    await stream.sendall(b"x")
                    await socket2.sleep(0.001)

    serve(echo, client, limits=Limits(body_s=SHORT_S, body_rate=1 << 30))


def test_each_byte_of_a_body_gives_it_more_time() -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 20\r\n", b"x"))
            for _ in range(19):
                await socket2.sleep(0.002)
                await stream.sendall(b"x")
            assert (await whole_answer(stream))[2] == b"x" * 20

    serve(echo, client, limits=Limits(body_s=30, body_rate=1))


def test_a_client_that_does_not_receive_is_cut_off() -> None:
    ended: list[BaseException | None] = []

    async def flood(request: Request) -> None:
        try:
            await request.start(200)
            while True:
                await request.send(bytes(1 << 16))
        except BaseException as error:
            ended.append(error)
            raise

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            while not ended:
                await socket2.sleep(0.001)

    serve(flood, client, limits=Limits(send_s=SHORT_S, send_rate=1 << 30), grace_s=5)
    assert isinstance(ended[0], socket2.Cancelled)


def test_a_handler_takes_as_long_as_it_likes() -> None:
    async def think(request: Request) -> None:
        await socket2.sleep(SHORT_S * 3)
        await request.respond(200, "hello")
        await socket2.sleep(SHORT_S * 3)

    limits = Limits(head_s=SHORT_S, idle_s=SHORT_S, body_s=SHORT_S, send_s=SHORT_S)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET * 2)
            for _ in range(2):
                assert (await whole_answer(stream))[2] == b"hello"

    serve(think, client, limits=limits)


def test_limits_that_are_none() -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            for data in (GET, post(b"Content-Length: 5\r\n", b"hello")):
                await stream.sendall(data[:-3])
                await socket2.sleep(0)
                await stream.sendall(data[-3:])
                assert (await whole_answer(stream))[0] == 200

    serve(echo, client, limits=Limits(head_s=None, idle_s=None, body_s=None, send_s=None, body_bytes=None))


# The end of the server.


def test_a_stop_closes_idle_connections_and_finishes_requests() -> None:
    go, begun = socket2.Event(), socket2.Event()

    async def wait(request: Request) -> None:
        if request.path == "/wait":
            begun.set()
            await go.wait()
        await request.respond(200, "hello")

    async def client(server: socket2.Server) -> None:
        with await connect(server) as idle, await connect(server) as busy:
            await idle.sendall(GET)
            await whole_answer(idle)
            await busy.sendall(GET.replace(b"/", b"/wait", 1) + GET)
            await begun.wait()
            stop = socket2.newthread(server.stop, 30)
            assert await everything(idle) == b""
            go.set()
            status, fields, body = await whole_answer(busy)
            assert (status, body, fields["connection"]) == (200, b"hello", "close")
            assert await everything(busy) == b""
        assert await stop.join() == 0

    serve(wait, client)


def test_an_answer_that_has_begun_is_finished_after_a_stop() -> None:
    async def stop(request: Request) -> None:
        await request.start(200, length=5)
        server = socket2.current_server()
        socket2.newthread(server.stop, 30)
        await server.stopping.wait()
        await request.send("hello")

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            assert (await whole_answer(stream))[2] == b"hello"
            assert await everything(stream) == b""

    serve(stop, client, grace_s=30)


def test_the_handler_is_cancelled_at_the_end_of_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    begun = socket2.Event()

    async def hang(request: Request) -> None:
        begun.set()
        await socket2.Event().wait()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            await begun.wait()
            assert await server.stop(0) == 1
            assert await everything(stream) == b""

    serve(hang, client)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# The access log.


async def answer(request: Request) -> None:
    if request.path == "/chunks":
        await request.start(200)
        await request.send("hel")
        await request.send("lo")
    else:
        await request.respond(200, "hello")


LOGGED = (
    b'GET /a"b?c HTTP/1.1\r\nHost: a\r\nReferer: x\\y\r\nUser-Agent: "\xe9\t\r\n\r\n'
    b"HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        (
            "common",
            [
                r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
                r' "GET /a\\x22b\?c HTTP/1\.1" 200 5',
                r'127.* "HEAD /chunks HTTP/1\.1" 200 -',
                r'127.* "GET /chunks HTTP/1\.0" 200 5',
            ],
        ),
        (
            "combined",
            [r'127.* 200 5 "x\\x5cy" "\\x22\\xe9"', r'127.* 200 - "-" "-"', r'127.* 200 5 "-" "-"'],
        ),
        (
            "json",
            [
                r'{"time": \d+\.\d+, "client": "127.0.0.1", "method": "GET", "target": "/a\\"b\?c", "version": "1.1",'
                r' "host": "a", "referer": "x\\\\y", "user_agent": "\\"\\u00e9", "status": 200, "sent_bytes": 5,'
                r' "duration_s": \d.*}',
                r'{.*"sent_bytes": 0.*}',
                r'{.*"sent_bytes": 5.*}',
            ],
        ),
    ],
)
def test_the_access_log(form: str, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "socket2.http.access")

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(LOGGED)
            await everything(stream)

    serve(answer, client, access_log=form)
    records = [record for record in caplog.records if record.name == "socket2.http.access"]
    assert len(records) == 3
    for record, line in zip(records, lines, strict=True):
        assert re.fullmatch(line, record.getMessage()), record.getMessage()
    assert [vars(record)["status"] for record in records] == [200] * 3
    assert [vars(record)["sent_bytes"] for record in records] == [5, 0, 5]


def test_what_is_no_request_is_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "socket2.http")

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(b"nonsense\r\n")
            await everything(stream)

    serve(answer, client, access_log="common")
    assert [record.name for record in caplog.records] == ["socket2.http.server", "socket2.http.access"]
    assert ": the request line must be" in caplog.records[0].getMessage()
    assert '"-" 400 ' in caplog.records[1].getMessage()
