"""WSGI applications: what they get, what becomes of their answers, and what they may do wrong."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

import socket2
from socket2 import http

from ...garbage import left_by
from ..scene import ask, connect, everything, exchanges, serve, undated
from ..smuggled import CHUNKS, chunked, get, post
from ..test_server import GET, OK

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]
PLAIN = b"content-type: text/plain\r\n"


Host = Callable[..., Any]


def hello(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [b"hel", b"lo"]


HELLO = OK + PLAIN + b"content-length: 5\r\n\r\nhello"


def test_hello(hosted: Host) -> None:
    assert exchanges(hosted(hello), GET, GET) == HELLO * 2


def asked(hosted: Any, data: bytes, **options: Any) -> Environ:
    """Return the environ of a request."""
    seen: list[Environ] = []

    def look(environ: Environ, start_response: Any) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    assert undated(exchanges(hosted(look, **options), data)).startswith(OK)
    return seen[0]


def test_environ(hosted: Host) -> None:
    line = b"POST /a%20b/%C3%A9%2F?c=%20&d HTTP/1.1\r\n"
    environ = asked(hosted, post(b"Content-Type: text/x\r\nContent-Length: 5\r\nX-Y: z\r\n", b"hello", line))
    text = {key: value for key, value in environ.items() if isinstance(value, str)}
    assert text.pop("REMOTE_PORT").isdecimal()
    assert text.pop("SERVER_PORT").isdecimal()
    assert text == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xc3\xa9/",
        "QUERY_STRING": "c=%20&d",
        "REQUEST_URI": "/a%20b/%C3%A9%2F?c=%20&d",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "5",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": f"socket2/{socket2.__version__}",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "a",
        "HTTP_X_Y": "z",
        "wsgi.url_scheme": "http",
    }
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.multiprocess"]
    assert not environ["wsgi.run_once"]
    assert environ["wsgi.errors"] is sys.stderr


def test_fields_that_could_be_taken_for_others(hosted: Host) -> None:
    fields = b"X_Y: 1\r\nX-Y: 2\r\nX-Y: 3\r\nProxy: a\r\nContent_Length: 7\r\nCookie: a=1\r\nCookie: b=2\r\nZ: \xe9\r\n"
    environ = asked(hosted, get(fields))
    assert environ["HTTP_X_Y"] == "2, 3"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_Z"] == "\xe9"
    assert not {"HTTP_PROXY", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "CONTENT_TYPE"} & environ.keys()


@pytest.mark.parametrize(
    ("target", "script", "path"),
    [
        (b"/shop/a", "/shop", "/a"),
        (b"/a", "/shop", "/a"),
        (b"/shop", "/shop", ""),
        (b"/shopping", "/shop", "/shopping"),
        (b"/%73hop/a", "/shop", "/a"),
    ],
)
def test_an_application_below_a_path(hosted: Host, target: bytes, script: str, path: str) -> None:
    environ = asked(hosted, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target, root_path="/shop/")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


@pytest.mark.parametrize(
    ("line", "path", "host"),
    [(b"OPTIONS *", "", "a"), (b"GET http://b:8/c?d", "/c", "b:8"), (b"OPTIONS http://b", "", "b")],
)
def test_other_forms_of_targets(hosted: Host, line: bytes, path: str, host: str) -> None:
    environ = asked(hosted, line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (environ["PATH_INFO"], environ["HTTP_HOST"]) == (path, host)


def test_connect_is_refused(hosted: Host) -> None:
    assert exchanges(hosted(hello), b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").startswith(b"HTTP/1.1 501 ")


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="must be callable"):
        http.wsgi(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must begin with '/'"):
        http.wsgi(hello, root_path="shop")


# The body.


def read(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read()]


@pytest.mark.parametrize("data", [post(b"Content-Length: 5\r\n", b"hello"), chunked(CHUNKS)])
def test_a_body_comes_back(hosted: Host, data: bytes) -> None:
    assert exchanges(hosted(read), data, data) == HELLO * 2


@pytest.mark.parametrize("framed", [True, False])
def test_a_body_in_lines_and_pieces(hosted: Host, framed: bool) -> None:
    found: list[Any] = []

    def take(environ: Environ, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        found.extend([body.readline(), body.readline(2), body.read(3), next(body), body.readlines(), body.read()])
        found.extend([body.read(5), body.readline(), list(body)])
        start_response("204 No Content", [])
        return []

    body = b"a\nbcdefg\nh\ni\n\nj"
    data = post(b"Content-Length: 15\r\n", body) if framed else chunked(b"f\r\n" + body + b"\r\n0\r\n\r\n")
    assert exchanges(hosted(take), data) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert found == [b"a\n", b"bc", b"def", b"g\n", [b"h\n", b"i\n", b"\n", b"j"], b"", b"", b"", []]


@pytest.mark.parametrize("size", [1000, 50_000, 100_000])
def test_a_body_that_nobody_reads(hosted: Host, size: int) -> None:
    data = post(b"Content-Length: %d\r\n" % size, bytes(size))
    found = exchanges(hosted(hello), data, GET)
    assert found.startswith(OK)
    assert b"connection: close" in found or found == HELLO * 2


def test_100_is_sent_when_the_application_reads() -> None:
    """In the loop the body must come before the application runs."""
    called, goes_on = threading.Event(), threading.Event()

    def wait(environ: Environ, start_response: Any) -> list[bytes]:
        called.set()
        goes_on.wait(10)
        return read(environ, start_response)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b""))
            await socket2.call_in_thread(called.wait, 10)
            with pytest.raises(TimeoutError), socket2.timeout(0.01):
                await stream.recv(1)
            goes_on.set()
            assert await stream.recvuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
            await stream.sendall(b"hello")
            stream.shutdown()
            assert await everything(stream) == HELLO

    serve(http.wsgi(wait), client)


def test_no_100_if_the_application_does_not_read() -> None:
    data = post(b"Content-Length: 5\r\nExpect: 100-continue\r\n", b"")
    found = exchanges(http.wsgi(hello), data)
    assert found == OK + PLAIN + b"content-length: 5\r\nconnection: close\r\n\r\nhello"


def test_a_large_body_is_received_as_the_application_reads() -> None:
    size, block = 4_000_000, 100_000

    def count(environ: Environ, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        total = 0
        while data := body.read(block):
            total += len(data)
        start_response("200 OK", TEXT)
        return [b"%d" % total]

    assert exchanges(http.wsgi(count), post(b"Content-Length: %d\r\n" % size, bytes(size))).endswith(b"4000000")


def test_a_body_that_is_too_large(hosted: Host) -> None:
    called: list[Environ] = []

    def note(environ: Environ, start_response: Any) -> list[bytes]:
        called.append(environ)
        return read(environ, start_response)

    limits = http.Limits(body_bytes=4)
    found = exchanges(hosted(note), post(b"Content-Length: 5\r\n", b"hello"), limits=limits, end=False)
    assert found.startswith(b"HTTP/1.1 413 ")
    assert not called
    assert exchanges(hosted(note), chunked(CHUNKS), limits=limits, end=False).startswith(b"HTTP/1.1 413 ")


def test_an_application_catches_an_error_of_the_body() -> None:
    def catch(environ: Environ, start_response: Any) -> list[bytes]:
        with pytest.raises(OSError, match="too large"):
            environ["wsgi.input"].read()
        start_response("422 No", TEXT)
        return [b"no"]

    found = exchanges(http.wsgi(catch), chunked(CHUNKS), limits=http.Limits(body_bytes=4), end=False)
    assert found.startswith(b"HTTP/1.1 422 Unprocessable Content\r\n")
    assert b"connection: close\r\n" in found


# OS threads.


def test_where_applications_run(hosted: Host) -> None:
    names: list[tuple[str, bool]] = []

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        names.append((threading.current_thread().name, environ["wsgi.multithread"]))
        start_response("200 OK", TEXT)
        yield b"a"
        names.append((threading.current_thread().name, environ["wsgi.multithread"]))

    exchanges(hosted(app), GET)
    assert names[0] == names[1]
    assert names[0] in ((threading.current_thread().name, False), ("socket2 call", True))


def test_a_limiter() -> None:
    lock = threading.Lock()

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        assert lock.acquire(blocking=False)
        try:
            return hello(environ, start_response)
        finally:
            lock.release()

    async def client(server: socket2.Server) -> list[bytes]:
        return list(await socket2.gather(*[ask(server, GET) for _ in range(8)]))

    async def main() -> list[bytes]:
        server = socket2.Server(http.handler(http.wsgi(app, limiter=socket2.CapacityLimiter(1))))
        await server.listen("127.0.0.1", 0)
        try:
            return await client(server)
        finally:
            await server.stop()

    assert socket2.run(main) == [HELLO] * 8


# The validator of the standard library.


def test_the_validator_finds_nothing(hosted: Host, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: Any) -> Any:
        body = environ["wsgi.input"]
        data = body.readline() + body.read(3) + b"".join(body.readlines(100)) + b"".join(body)
        environ["wsgi.errors"].write("")
        write = start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/write":
            write(b"hello")
            return []
        return environ["wsgi.file_wrapper"](io.BytesIO(data)) if data else [b"hello"]

    checked = validator(app)
    requests = [
        GET,
        GET.replace(b"GET /", b"HEAD /x?y"),
        GET.replace(b"/ ", b"/write "),
        GET.replace(b"GET /", b"OPTIONS *"),
        post(b"Content-Length: 12\r\n", b"hello\nhello\n"),
        chunked(CHUNKS),
    ]
    found = exchanges(hosted(checked), *requests)
    assert found.count(b"HTTP/1.1 200 OK") == len(requests), caplog.text


def test_no_reference_cycles(hosted: Host) -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/fail":
            raise ValueError

    data = (GET, chunked(CHUNKS), post(b"Content-Length: 100000\r\n", bytes(100000)), GET.replace(b"/ ", b"/fail "))
    assert left_by(lambda: exchanges(hosted(app), *data)) == []
