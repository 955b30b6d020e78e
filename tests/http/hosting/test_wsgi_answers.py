"""The answers of WSGI applications, and what they may do wrong."""

from __future__ import annotations

import gzip
import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http
from socket2.http.hosting.environ import FileWrapper

from ..scene import ask, connect, exchanges, serve
from ..smuggled import post
from ..test_server import GET, OK
from .test_wsgi import HELLO, PLAIN, TEXT, Environ, Host, hello


def answering(
    hosted: Host, status: str, headers: list[tuple[str, str]], result: Any, method: bytes = b"GET", end: bool = True
) -> bytes:
    def app(environ: Environ, start_response: Any) -> Any:
        start_response(status, headers)
        return result() if callable(result) else result

    return exchanges(hosted(app), method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", end=end)


def test_pieces_are_sent_as_they_come(hosted: Host) -> None:
    found = answering(hosted, "200 OK", TEXT, lambda: iter([b"", b"hel", b"", b"lo"]))
    assert found == OK + PLAIN + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    found = answering(hosted, "200 OK", [*TEXT, ("Content-Length", "5")], lambda: iter([b"hel", b"lo"]))
    assert found == HELLO
    assert answering(hosted, "200 OK", TEXT, lambda: iter([])) == OK + PLAIN + b"content-length: 0\r\n\r\n"


@pytest.mark.parametrize("body", [[b"hello"], [], (), lambda: iter([b"hello"]), lambda: iter([])])
def test_head(hosted: Host, body: Any) -> None:
    found = answering(hosted, "200 OK", [*TEXT, ("Content-Length", "5")], body, b"HEAD")
    assert found == OK + PLAIN + b"content-length: 5\r\n\r\n"


def test_head_without_a_length(hosted: Host) -> None:
    assert answering(hosted, "200 OK", TEXT, [b"hello"], b"HEAD") == OK + PLAIN + b"content-length: 5\r\n\r\n"
    assert answering(hosted, "200 OK", TEXT, [], b"HEAD") == OK + PLAIN + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("body", [[], lambda: iter([])])
def test_answers_without_a_body(hosted: Host, body: Any) -> None:
    assert answering(hosted, "204 No Content", [], body) == b"HTTP/1.1 204 No Content\r\n\r\n"
    found = answering(hosted, "304 Not Modified", [("Content-Length", "5")], body)
    assert found == b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"


def test_write(hosted: Host) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        write(b"h")
        write(b"e")
        return [b"l", b"lo"] if environ["PATH_INFO"] == "/" else (piece for piece in [b"l", b"lo"])

    assert exchanges(hosted(app), GET, GET.replace(b"/ ", b"/x ")) == HELLO * 2


def test_start_response_in_a_generator(hosted: Host) -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response("200 OK", TEXT)
        yield b"hello"

    assert exchanges(hosted(app), GET).endswith(b"\r\n5\r\nhello\r\n0\r\n\r\n")


def test_an_error_replaces_what_was_not_sent(hosted: Host) -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("404 Not Found", [("X", "y")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("200 OK", TEXT, sys.exc_info())
        return [b"hello"]

    assert exchanges(hosted(app), GET) == HELLO


def test_an_error_after_something_was_sent(hosted: Host, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"hello"
        try:
            raise KeyError("secret")
        except KeyError:
            start_response("500 No", TEXT, sys.exc_info())
        yield b"x"

    found = exchanges(hosted(app), GET, GET)
    assert found == OK + PLAIN + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    assert "KeyError: 'secret'" in caplog.text
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize(
    ("status", "headers", "result", "reason"),
    [
        (200, TEXT, [], "a status must be a str"),
        ("20 OK", TEXT, [], "three digits"),
        ("100 Continue", TEXT, [], "three digits"),
        ("200 OK", tuple(TEXT), [], "must be a list"),
        ("200 OK", [("X", b"y")], [], "must be str"),
        ("200 OK", [("X", "y\r\nZ: a")], [], "control characters"),
        ("200 OK", [("X", "\u20ac")], [], "Latin-1"),
        ("200 OK", [("Connection", "close")], [], "hop-by-hop"),
        ("200 OK", [("transfer-encoding", "chunked")], [], "hop-by-hop"),
        ("200 OK", [("Content-Length", "x")], [], "one number"),
        ("200 OK", [("Content-Length", "4")], [b"hello"], "Content-Length is 4, but the body has 5"),
        ("200 OK", [("Content-Length", "4")], lambda: iter([]), "Content-Length is 4, but the body has 0"),
        ("200 OK", TEXT, ["hello"], "must consist of bytes, not str"),
        ("200 OK", TEXT, lambda: iter(["hello"]), "must consist of bytes, not str"),
        ("200 OK", TEXT, None, "NoneType"),
        ("204 No Content", [], [b"hello"], "has no body"),
    ],
)
def test_answers_that_cannot_be(
    hosted: Host, status: Any, headers: Any, result: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = answering(hosted, status, headers, result)
    assert found.startswith(b"HTTP/1.1 500 ")
    assert reason.encode() not in found
    assert reason in caplog.text


@pytest.mark.parametrize("length", ["3", "10"])
def test_pieces_of_another_length_than_promised(hosted: Host, length: str, caplog: pytest.LogCaptureFixture) -> None:
    found = answering(hosted, "200 OK", [("Content-Length", length)], lambda: iter([b"he", b"llo"]))
    assert found.startswith(OK + b"content-length: %b\r\n\r\nhe" % length.encode())
    assert len(found.partition(b"\r\n\r\n")[2]) < 6
    assert caplog.text.count("Traceback") == 1


def test_applications_that_do_not_start(hosted: Host, caplog: pytest.LogCaptureFixture) -> None:
    def silent(environ: Environ, start_response: Any) -> Any:
        return [b"x"] if environ["PATH_INFO"] == "/" else iter([b"x"])

    def twice(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)

    assert exchanges(hosted(silent), GET, GET.replace(b"/ ", b"/x ")).count(b"HTTP/1.1 500 ") == 2
    assert caplog.text.count("RuntimeError: the application has not called start_response()") == 2
    assert exchanges(hosted(twice), GET).startswith(b"HTTP/1.1 500 ")
    assert "called again" in caplog.text


@pytest.mark.parametrize("kind", [ValueError, SystemExit, StopIteration])
def test_applications_that_fail(hosted: Host, kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: Any) -> Any:
        raise kind("secret")

    found = exchanges(hosted(app), GET, GET)
    assert found.count(b"HTTP/1.1 500 ") == 2
    assert b"secret" not in found
    assert caplog.text.count("secret") >= 2


class Pieces:
    """An iterable that notes whether it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed += 1


def failing() -> Iterator[bytes]:
    yield b"hel"
    raise ValueError


@pytest.mark.parametrize("make", [lambda: [b"hello"], list, failing, lambda: [b"a", "b"]])
@pytest.mark.usefixtures("caplog")
def test_an_iterable_is_closed(hosted: Host, make: Any) -> None:
    pieces = Pieces(make())
    answering(hosted, "200 OK", TEXT, lambda: pieces)
    assert pieces.closed == 1


def test_a_client_that_leaves(hosted: Host) -> None:
    closed = threading.Event()

    def endless(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        try:
            while True:
                yield bytes(100_000)
        finally:
            closed.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(GET)
            await stream.recvuntil(b"\r\n\r\n")
        await socket2.call_in_thread(closed.wait, 10)

    serve(hosted(endless), client)
    assert closed.is_set()


@pytest.mark.parametrize("sent", [b"", b"x" * 100_000])
def test_a_client_that_leaves_within_its_body(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
            raise
        return hello(environ, start_response)

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, post(b"Content-Length: 1000000\r\n", sent))

    found = serve(http.wsgi(app), client)
    assert found.startswith(b"HTTP/1.1 400 ")
    assert len(errors) == 1
    assert "Traceback" not in caplog.text


def test_a_server_that_cuts_off_its_application() -> None:
    """The OS thread does not wait for a client that nobody serves any more."""
    called, ended = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        called.set()
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
        ended.set()
        return []

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(post(b"Content-Length: 1000000\r\n", b""))
            await socket2.call_in_thread(called.wait, 10)
            await server.stop(0)
            await socket2.call_in_thread(ended.wait, 10)

    serve(http.wsgi(app), client)
    assert isinstance(errors[0], OSError)


# Files.


def sending_a_file(file: Callable[[], Any], *headers: tuple[str, str], status: str = "200 OK") -> Any:
    def app(environ: Environ, start_response: Any) -> Any:
        start_response(status, [*TEXT, *headers])
        opened.append(file())
        return environ["wsgi.file_wrapper"](opened[-1])

    opened: list[Any] = []
    app.opened = opened  # type: ignore[attr-defined]
    return app


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_is_sent_by_the_kernel(
    hosted: Host, tmp_path: Path, buffering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000) + b"hello")

    def at_the_third_byte() -> Any:
        file = path.open("rb", buffering=buffering)
        file.read(3)
        return file

    monkeypatch.setattr(FileWrapper, "__next__", None)
    app = sending_a_file(at_the_third_byte)
    head = OK + PLAIN + b"content-length: 200002\r\n\r\n"
    assert exchanges(hosted(app), GET, GET) == (head + bytes(199_997) + b"hello") * 2
    assert exchanges(hosted(app), GET.replace(b"GET", b"HEAD")) == head
    assert all(file.closed for file in app.opened)
    shorter = sending_a_file(at_the_third_byte, ("Content-Length", "5"))
    assert exchanges(hosted(shorter), GET) == OK + PLAIN + b"content-length: 5\r\n\r\n" + bytes(5)


def test_files_that_the_kernel_cannot_send(hosted: Host, tmp_path: Path) -> None:
    """A compressed file has the descriptor of another one."""
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"hello"))
    make: Callable[[], Any]
    compressed = partial(gzip.GzipFile, path)
    for make in (compressed, lambda: io.BufferedReader(compressed()), partial(io.BytesIO, b"hello")):
        found = exchanges(hosted(sending_a_file(make)), GET)
        assert found.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_a_file_that_is_too_short(hosted: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    app = sending_a_file(lambda: path.open("rb"), ("Content-Length", "9"))
    assert exchanges(hosted(app), GET, GET) == OK + PLAIN + b"content-length: 9\r\n\r\nhello"
    assert "4 bytes less" in caplog.text
    assert app.opened[0].closed
