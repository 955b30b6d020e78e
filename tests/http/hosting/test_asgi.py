"""ASGI applications: what they get, what becomes of their answers, and what they may do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http

from ...garbage import left_by
from ..scene import ask, connect, everything, exchanges, serve, undated, whole_answer
from ..smuggled import CHUNKS, chunked, get, post
from ..test_server import GET, OK
from .test_wsgi import HELLO, PLAIN

Scope = dict[str, Any]
App = Callable[..., Coroutine[Any, Any, None]]
START: Scope = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def body(data: Any = b"", more: bool = False) -> Scope:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def hello(scope: Scope, receive: Any, send: Any) -> None:
    await send(START)
    await send(body(b"hello"))


async def read(receive: Any) -> bytes:
    found = b""
    while True:
        message: Scope = await receive()
        assert message["type"] == "http.request"
        found += bytes(message["body"])
        if not message["more_body"]:
            return found


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    data = await read(receive)
    await send(START)
    await send(body(data))


def sending(*messages: Scope) -> App:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def answers(app: App, *requests: bytes, end: bool = True, **options: Any) -> bytes:
    return exchanges(http.asgi(app), *(requests or (GET,)), end=end, **options)


# What an application gets.


def test_hello() -> None:
    assert answers(hello, GET, GET) == HELLO * 2


def asked(data: bytes, **options: Any) -> Scope:
    seen: list[Scope] = []

    async def look(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope)
        await hello(scope, receive, send)

    assert undated(exchanges(http.asgi(look, **options), data)).startswith(OK)
    return seen[0]


def test_scope() -> None:
    scope = asked(post(b"X_Y: \xe9\r\nX-Y: 1\r\nx-y: 2\r\n", b"", b"PUT /a%20b/%C3%A9%2F?c=%20 HTTP/1.1\r\n"))
    client, server = scope.pop("client"), scope.pop("server")
    assert client[0] == server[0] == "127.0.0.1"
    assert isinstance(server[1], int)
    assert len(client) == 2
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/a b/\xe9/",
        "raw_path": b"/a%20b/%C3%A9%2F",
        "query_string": b"c=%20",
        "root_path": "",
        "headers": [(b"host", b"a"), (b"x_y", b"\xe9"), (b"x-y", b"1"), (b"x-y", b"2")],
        "extensions": {"http.response.trailers": {}, "http.response.pathsend": {}, "http.response.early_hint": {}},
    }


@pytest.mark.parametrize(
    ("target", "path"), [(b"/shop/a", "/shop/a"), (b"/a", "/shop/a"), (b"/shopping", "/shop/shopping")]
)
def test_an_application_below_a_path(target: bytes, path: str) -> None:
    scope = asked(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target, root_path="/shop")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/shop", path, target)


@pytest.mark.parametrize(
    ("line", "path", "host"), [(b"OPTIONS *", "*", b"a"), (b"GET http://b:8/c?d", "/c", b"b:8"), (b"GET /", "/", b"a")]
)
def test_other_forms_of_targets(line: bytes, path: str, host: bytes) -> None:
    scope = asked(line + b" HTTP/1.0\r\nHost: a\r\n\r\n")
    assert (scope["path"], scope["headers"], scope["http_version"]) == (path, [(b"host", host)], "1.0")


def test_each_request_has_its_own_scope_and_context() -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        assert user.get() == "nobody"
        user.set("somebody")
        await socket2.sleep(0)
        assert user.get() == "somebody"
        scope["headers"].append((b"x", b"y"))
        assert len(scope["headers"]) == 2
        await hello(scope, receive, send)

    assert answers(app, GET, GET) == HELLO * 2


@pytest.mark.parametrize("data", [post(b"Content-Length: 5\r\n", b"hello"), chunked(CHUNKS)])
def test_a_body_comes_back(data: bytes) -> None:
    assert answers(echo, data, data) == HELLO * 2


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_body_that_nobody_reads(size: int) -> None:
    found = answers(hello, post(b"Content-Length: %d\r\n" % size, bytes(size)), GET)
    assert found == HELLO * 2 or (b"connection: close" in found and found.count(OK) == 1)


def test_a_large_body_comes_as_it_is_received() -> None:
    async def count(scope: Scope, receive: Any, send: Any) -> None:
        total, more = 0, True
        while more:
            message = await receive()
            assert len(message["body"]) <= 65536
            total, more = total + len(message["body"]), message["more_body"]
        await send(START)
        await send(body(b"%d" % total))

    assert answers(count, post(b"Content-Length: 3000000\r\n", bytes(3000000))).endswith(b"3000000")


def test_100_is_sent_when_the_application_receives() -> None:
    data = post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"")
    assert answers(hello, data).startswith(OK)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(data)
            assert await stream.recvuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
            await stream.sendall(b"hello")
            stream.shutdown()
            assert await everything(stream) == HELLO

    serve(http.asgi(echo), client)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"Content-Length: 5\r\n", b"hello"), b"413"),
        (chunked(CHUNKS), b"413"),
        (chunked(b"x\r\n"), b"400"),
        (post(b"Content-Length: 4\r\n", b"a"), b"400"),
    ],
)
def test_what_clients_do_wrong_is_answered(data: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    found = answers(echo, data, limits=http.Limits(body_bytes=4))
    assert found.startswith(b"HTTP/1.1 %b " % status)
    assert "Traceback" not in caplog.text


def test_disconnect_comes_behind_the_answer() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        for _ in range(2):
            assert await receive() == {"type": "http.disconnect"}
        await send(body(b"ignored"))

    assert answers(app, chunked(CHUNKS), GET) == HELLO + HELLO.replace(b"5\r\n\r\nhello", b"0\r\n\r\n")


def test_a_thread_that_waits_for_the_client_to_leave() -> None:
    """It learns of the end of the client, or of the answer. What the client sends meanwhile is the next request."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await read(receive)
        asking, goes_on = socket2.Event(), socket2.Event()

        async def look() -> None:
            asking.set()
            seen.append((await receive())["type"])
            goes_on.set()

        thread = socket2.newthread(look)
        await asking.wait()
        if scope["path"] == "/wait":
            await goes_on.wait()
        await hello(scope, receive, send)
        await thread.join()

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, GET + GET + GET.replace(b"/ ", b"/wait "))

    assert serve(http.asgi(app), client) == HELLO * 3
    assert seen == ["http.disconnect"] * 3


@pytest.mark.parametrize("path", [b"/fail", b"/exit", b"/asyncio", b"/return"])
def test_a_thread_that_waits_for_the_client_to_leave_when_the_application_has_failed(path: bytes) -> None:
    """The connection is free for the next request."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await read(receive)
        threads.append(socket2.newthread(receive))
        await socket2.sleep(0)
        assert scope["path"] != "/fail"
        if scope["path"] == "/exit":
            raise SystemExit
        if scope["path"] == "/asyncio":
            asyncio.get_running_loop()
        if scope["path"] == "/":
            await hello(scope, receive, send)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            for line, status in ((path, 500), (b"/", 200), (path, 500)):
                await stream.sendall(GET.replace(b"/ ", line + b" "))
                assert (await whole_answer(stream))[0] == status

    threads: list[socket2.Thread[Any]] = []
    serve(http.asgi(app), client)
    assert len(threads) == 3
    assert all(thread.done for thread in threads)


def test_a_client_that_leaves(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[OSError] = []
    ended = socket2.Event()

    async def endless(scope: Scope, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(body(bytes(100_000), True))
        except OSError as error:
            errors.append(error)
            with pytest.raises(OSError, match="the client has gone"):
                await send(body(b""))
        ended.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            await stream.recvuntil(b"\r\n\r\n")
        await ended.wait()

    serve(http.asgi(endless), client, grace_s=1)
    assert len(errors) == 1
    assert "Traceback" not in caplog.text


# Answers.


def test_pieces_are_sent_as_they_come() -> None:
    found = answers(sending(START, body(more=True), body(b"hel", True), body(memoryview(b"lo"))))
    assert found == OK + PLAIN + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    length = {**START, "headers": [(b"Content-Type", b"text/plain"), (b"Content-Length", b"5")]}
    assert answers(sending(length, body(b"hel", True), body(bytearray(b"lo")))) == HELLO
    assert answers(sending(length, body(b"hello", True), body())) == HELLO


def test_head_and_answers_without_a_body() -> None:
    head = GET.replace(b"GET", b"HEAD")
    assert answers(hello, head) == OK + PLAIN + b"content-length: 5\r\n\r\n"
    assert answers(sending(START, body(b"a", True), body()), head).endswith(b"transfer-encoding: chunked\r\n\r\n")
    fields = [(b"content-length", b"5")]
    assert answers(sending({**START, "headers": fields}, body()), head) == OK + b"content-length: 5\r\n\r\n"
    found = answers(sending({**START, "status": 304, "headers": fields}, body()))
    assert found == b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"
    assert answers(sending({**START, "status": 204, "headers": []}, body())) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_transfer_encoding_is_the_servers() -> None:
    start = {**START, "headers": [(b"Transfer-Encoding", b"chunked"), (b"content-type", b"text/plain")]}
    assert answers(sending(start, body(b"hello"))) == HELLO


def test_trailers() -> None:
    start = {**START, "trailers": True}
    some = {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": True}
    rest = {"type": "http.response.trailers", "headers": [(b"z", b"")]}
    app = sending(start, body(b"hello"), some, rest)
    assert answers(app).endswith(b"chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\nz: \r\n\r\n")
    assert answers(app, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nhello")


def test_early_hints() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
    found = answers(sending(hint, START, body(b"hello")))
    links = b"link: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\n"
    assert found == b"HTTP/1.1 103 Early Hints\r\n" + links + b"\r\n" + HELLO


def test_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000))
    app = sending(START, {"type": "http.response.pathsend", "path": str(path)})
    head = OK + PLAIN + b"content-length: 200000\r\n\r\n"
    assert answers(app, GET, GET) == (head + bytes(200_000)) * 2
    assert answers(app, GET.replace(b"GET", b"HEAD"), GET.replace(b"GET", b"HEAD")) == head * 2
    path.unlink()
    assert answers(app).startswith(b"HTTP/1.1 500 ")
    assert "the file cannot be sent" in caplog.text


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "ended without an answer"),
        ([START], "ended without the end of its answer"),
        ([START, START], "http.response.start twice"),
        ([body(b"x")], "has not sent http.response.start"),
        ([{"type": "http.response.push"}], "cannot be answered with the message 'http.response.push'"),
        ([START, {"type": "http.response.trailers"}], "comes behind the body"),
        ([{**START, "status": 101}, body()], "from 200 to 999"),
        ([{**START, "status": "200"}, body()], "'<=' not supported"),
        ([{**START, "headers": [("x", "y\r\n")]}, body()], "control characters"),
        ([{**START, "headers": [(b"content-length", b"4")]}, body(b"hello")], "Content-Length is 4"),
        ([START, body("hello")], "bytes-like object is required"),
        ([{**START, "status": 204}, body(b"hello")], "has no body"),
    ],
)
def test_answers_that_cannot_be(messages: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    assert answers(sending(*messages)).startswith(b"HTTP/1.1 500 ")
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([START, body(b"hello", True)], "ended without the end of its answer"),
        ([{**START, "headers": [(b"content-length", b"9")]}, body(b"hello", True), body()], "4 bytes less"),
        ([{**START, "headers": [(b"content-length", b"5")]}, body(b"hello", True), body(b"x")], "1 bytes more"),
    ],
)
def test_answers_that_are_cut_off(messages: Any, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    found = answers(sending(*messages), GET, GET)
    assert found.count(b"HTTP/1.1") == 1
    assert not found.endswith(b"0\r\n\r\n")
    assert reason in caplog.text


@pytest.mark.parametrize("kind", [ValueError, SystemExit, ConnectionResetError])
def test_applications_that_fail(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        raise kind("secret")

    found = answers(app, GET, GET)
    assert found.count(b"HTTP/1.1 500 ") == 2
    assert b"secret" not in found
    assert caplog.text.count("secret") >= 2


def test_what_is_no_application(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="must be callable"):
        http.asgi(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'auto', 'on' or 'off'"):
        http.asgi(hello, lifespan="yes")  # type: ignore[arg-type]
    assert answers(lambda *_: 5).startswith(b"HTTP/1.1 500 ")  # type: ignore[arg-type]
    assert "is it one for ASGI 3?" in caplog.text
    assert answers(hello, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").startswith(b"HTTP/1.1 501 ")


def test_no_reference_cycles() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        if scope["path"] == "/fail":
            raise ValueError

    data = (GET, chunked(CHUNKS), get(b"X: y\r\n"), GET.replace(b"/ ", b"/fail "))
    assert left_by(lambda: answers(app, *data)) == []
    assert left_by(lambda: answers(app, chunked(b"x\r\n"))) == []
