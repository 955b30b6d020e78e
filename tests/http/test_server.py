"""A server over real connections: requests, answers, and what happens between them."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http
from socket2.http import Limits, Request

from ..interop.peers import run
from .scene import ask, connect, exchanges, serve, whole_answer
from .smuggled import chunked, get, post

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello"


def hello(request: Request) -> Generator[Any, Any, None]:
    yield from request.respond(200, "hello")


async def hello_async(request: Request) -> None:
    await request.respond(200, "hello")


def hello_plainly(request: Request) -> socket2.Operation[None]:
    return request.respond(200, "hello")


@pytest.mark.parametrize("handler", [hello, hello_async, hello_plainly])
def test_handlers_of_each_kind(handler: Any) -> None:
    assert exchanges(handler, GET, GET) == HELLO * 2


def test_what_a_handler_sees() -> None:
    seen: list[Any] = []

    async def look(request: Request) -> None:
        seen.extend([request.method, request.target, request.path, request.query, request.host, request.http_version])
        seen.extend([request.headers["x-y"], request.scheme, request.answered, repr(request)])
        assert isinstance(request.client, tuple)
        assert request.client[0] == "127.0.0.1"
        request.headers["x-y"] = "changed"
        assert request.trailers is None
        assert await request.recv() == b""
        await request.respond(204)
        seen.append(request.answered)

    line = b"GET /a%20b/%C3%A9?c=%20 HTTP/1.1\r\n"
    assert exchanges(look, line + b"Host: d:80\r\nX-Y: z\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"
    target = "/a%20b/%C3%A9?c=%20"
    once = ["GET", target, "/a b/\xe9", "c=%20", "d:80", "1.1", "z", "http", 0, f"<Request GET {target}>", 204]
    assert seen == once


def test_a_request_like_the_one_before_is_not_changed_by_its_handler() -> None:
    async def change(request: Request) -> None:
        assert request.headers.items() == [("host", "a")]
        request.headers.add("x", "y")
        await request.respond(204)

    assert exchanges(change, GET, GET).count(b"204") == 2


async def echo(request: Request) -> None:
    await request.respond(200, await request.read())


@pytest.mark.parametrize(
    "data", [post(b"Content-Length: 5\r\n", b"hello"), chunked(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]
)
def test_a_body_comes_back(data: bytes) -> None:
    assert exchanges(echo, data, data) == (OK + b"content-length: 5\r\n\r\nhello") * 2


def test_a_body_in_pieces() -> None:
    async def take(request: Request) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            request.recv(0)
        assert await request.recv(2) == b"ab"
        assert await request.recvline() == "c\xe9".encode()
        assert await request.recvline(keep_end=True) == b"d\n"
        assert await request.recv(1) == b"e"
        assert [line async for line in request.lines()] == [b"f", b"g"]
        assert await request.recvline() is None
        assert await request.recv() == b""
        assert request.trailers is not None
        assert request.trailers.items() == [("x", "y")]
        await request.respond(200, "hello")

    body = b"3\r\nabc\r\n9\r\n\xc3\xa9\r\nd\nef\n\r\n1\r\ng\r\n0\r\nX: y\r\n\r\n"
    assert exchanges(take, chunked(body)) == HELLO


def test_json() -> None:
    async def add(request: Request) -> None:
        numbers = await request.json()
        await request.respond(200, json=sum(numbers))

    found = exchanges(add, post(b"Content-Length: 7\r\n", b"[1,2,3]"), post(b"Content-Length: 2\r\n", b"[1"))
    one, _, other = found.partition(b"6")
    assert one == OK + b"content-type: application/json\r\ncontent-length: 1\r\n\r\n"
    assert other.startswith(b"HTTP/1.1 400 ")
    assert other.endswith(b"the body is not JSON\n")


def test_an_answer_as_json() -> None:
    async def tell(request: Request) -> None:
        with pytest.raises(TypeError, match="either a body or json"):
            request.respond(200, "a", json=[])
        with pytest.raises(ValueError, match="JSON"):
            request.respond(200, json=float("nan"))
        with pytest.raises(TypeError, match="serializable"):
            request.respond(200, json=object())
        await request.respond(
            200, headers={"X": "y", **({"Content-Type": "a/b"} if request.query else {})}, json=["\xe9"]
        )

    typed = OK + b'x: y\r\ncontent-type: %b\r\ncontent-length: 6\r\n\r\n["\xc3\xa9"]'
    assert exchanges(tell, GET, GET.replace(b"/ ", b"/?a ")) == typed % b"application/json" + typed % b"a/b"


@pytest.mark.parametrize("flush", [True, False])
def test_an_answer_in_pieces(flush: bool) -> None:
    async def count(request: Request) -> None:
        await request.start(200, {"X": "y"}, flush=flush)
        await request.send("a")
        await request.send(b"")
        await request.send(memoryview(b"bc"))
        await request.end({"Z": "1"})

    head = OK + b"x: y\r\ntransfer-encoding: chunked\r\n"
    assert exchanges(count, GET, CLOSE) == (
        head + b"\r\n1\r\na\r\n2\r\nbc\r\n0\r\nz: 1\r\n\r\n" + head + b"connection: close\r\n"
        b"\r\n1\r\na\r\n2\r\nbc\r\n0\r\nz: 1\r\n\r\n"
    )


def test_an_answer_ends_with_its_handler() -> None:
    async def begin(request: Request) -> None:
        await request.start(200, length=2)
        await request.send("hi")

    assert exchanges(begin, GET, GET) == (OK + b"content-length: 2\r\n\r\nhi") * 2


def test_large_bodies_come_whole() -> None:
    large = bytes(range(256)) * 1024

    async def give(request: Request) -> None:
        assert await request.read() == large
        if request.path == "/chunks":
            await request.start(200)
            await request.send(large)
        else:
            await request.respond(200, bytearray(large))

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            for path in (b"/", b"/chunks"):
                head = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(large)
                await stream.sendv([head, large])
                assert (await whole_answer(stream))[2] == large

    serve(give, client)


def test_head_and_the_old_version() -> None:
    async def stream(request: Request) -> None:
        await request.start(200)
        await request.send("hello")

    head = OK + b"content-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\n"
    asked = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert exchanges(hello, asked, asked) == (head + b"\r\n") * 2
    assert exchanges(stream, asked, asked) == (OK + b"transfer-encoding: chunked\r\n\r\n") * 2
    old = b"GET / HTTP/1.0\r\n"
    assert exchanges(hello, old + b"\r\n", GET, end=False) == head + b"connection: close\r\n\r\nhello"
    kept = old + b"Connection: keep-alive\r\n\r\n"
    assert exchanges(hello, kept, kept) == (head + b"connection: keep-alive\r\n\r\nhello") * 2
    assert exchanges(stream, old + b"\r\n", end=False) == OK + b"connection: close\r\n\r\nhello"


def test_pipelined_requests_wait_for_the_one_before() -> None:
    happened: list[str] = []
    go = socket2.Event()

    async def answer(request: Request) -> None:
        happened.append(f"begin {request.path}")
        if request.path == "/1":
            await go.wait()
        happened.append(f"end {request.path}")
        await request.respond(200, request.path)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in (1, 2, 3)))
            while not happened:
                await socket2.sleep(0)
            for _ in range(5):
                await socket2.sleep(0)
            assert happened == ["begin /1"]
            go.set()
            assert [(await whole_answer(stream))[2] for _ in range(3)] == [b"/1", b"/2", b"/3"]

    serve(answer, client)
    assert happened == [f"{word} /{n}" for n in (1, 2, 3) for word in ("begin", "end")]


def test_an_expectation_is_met_when_the_body_is_read() -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            for _ in range(2):
                await stream.sendall(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""))
                assert await stream.recvuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
                await stream.sendall(b"hello")
                assert (await whole_answer(stream))[2] == b"hello"

    serve(echo, client)


def test_an_expectation_that_is_not_met_ends_the_connection() -> None:
    found = exchanges(hello, post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""), end=False)
    assert b"connection: close\r\n" in found
    assert found.endswith(b"\r\n\r\nhello")
    assert b"100 Continue" not in found


def test_interim_answers() -> None:
    async def hint(request: Request) -> None:
        await request.informational(103, {"Link": "</a>"})
        await request.respond(200, "hello")

    assert exchanges(hint, GET) == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HELLO
    assert b"103" not in exchanges(hint, b"GET / HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("data", [post(b"Content-Length: 5\r\n", b"12345"), chunked(b"5\r\n12345\r\n0\r\n\r\n")])
def test_a_small_body_that_nobody_reads_is_skipped(data: bytes) -> None:
    assert exchanges(hello, data, GET) == HELLO * 2


def test_a_large_body_that_nobody_reads_ends_the_connection_and_the_answer_arrives() -> None:
    for data in (
        post(b"Content-Length: 1000000\r\n", b"x" * 300_000),
        chunked(b"40000\r\n" + b"x" * 0x40000),
    ):
        found = exchanges(hello, data)
        assert found.endswith(b"\r\n\r\nhello")
        assert found.count(b"HTTP/1.1") == 1


def test_a_body_limit_for_one_request() -> None:
    async def take(request: Request) -> None:
        assert request.body_limit == 4
        if request.path == "/large":
            request.body_limit = None
        await request.respond(200, await request.read())

    data = post(b"Content-Length: 5\r\n", b"hello")
    large = data.replace(b"POST /", b"POST /large")
    found = exchanges(take, large, data, limits=Limits(body_bytes=4))
    assert found.startswith(OK + b"content-length: 5\r\n\r\nhelloHTTP/1.1 413 Content Too Large\r\n")


def test_a_handler_may_read_less_than_the_limit() -> None:
    async def take(request: Request) -> None:
        with pytest.raises(http.ProtocolError) as refused:
            await request.read(4)
        assert refused.value.status == 413
        assert await request.read(5) == b"hello"
        await request.respond(200, "hello")

    assert exchanges(take, post(b"Content-Length: 5\r\n", b"hello"), GET.replace(b"GET", b"HEAD")).startswith(HELLO)


def test_a_line_that_is_too_long() -> None:
    async def take(request: Request) -> None:
        await request.recvline(3)

    assert exchanges(take, post(b"Content-Length: 5\r\n", b"hello")).startswith(b"HTTP/1.1 413 ")


# Another protocol.


def test_an_upgrade() -> None:
    async def chat(request: Request) -> None:
        with await request.upgrade("chat") as stream:
            await stream.sendall((await stream.recvline() or b"").upper() + b"\n")
            with pytest.raises(RuntimeError, match="already begun"):
                await request.respond(200)

    asked = get(b"Connection: upgrade\r\nUpgrade: chat\r\n") + b"hello\nmore"
    head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: chat\r\nconnection: upgrade\r\n\r\n"
    assert exchanges(chat, asked) == head + b"HELLO\n"


def test_connect() -> None:
    async def tunnel(request: Request) -> None:
        assert (request.target, request.path, request.host) == ("b:1", "", "b:1")
        stream = await request.upgrade()
        await stream.sendall(await stream.recvall())

    assert exchanges(tunnel, b"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nhello") == b"HTTP/1.1 200 OK\r\n\r\nhello"


# Other connections than TCP.


class Slow:
    """A byte stream whose operations are coroutines, and which receives one byte at a time."""

    def __init__(self, below: socket2.TCP) -> None:
        self._below = below

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    async def recv(self, n: int, /) -> bytes:
        return await self._below.recv(1)

    async def sendall(self, data: Any, /) -> None:
        for byte in bytes(data):
            await self._below.sendall(bytes([byte]))


def test_a_byte_stream_of_ones_own() -> None:
    converse = http.handler(echo)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 5\r\n", b"hello") * 2 + CLOSE)
            for body in (b"hello", b"hello", b""):
                assert (await whole_answer(stream))[2] == body

    async def main() -> None:
        server = socket2.Server(lambda conn: converse(Slow(conn)))
        await server.listen("127.0.0.1", 0)
        await client(server)
        await server.stop()

    run(main)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_a_unix_path(tmp_path: Path) -> None:
    async def where(request: Request) -> None:
        await request.respond(200, repr(request.client))

    async def main() -> None:
        server = socket2.Server(http.handler(where, access_log="common"))
        await server.listen(str(tmp_path / "s"))
        assert (await ask(server, CLOSE)).endswith(b"\r\n\r\n''")
        await server.stop()

    run(main)
