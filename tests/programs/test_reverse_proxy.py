"""The reverse proxy, between curl and http.server, and between bytes by hand."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ..interop.curl import command
from ..interop.peers import (
    Program,
    beside,
    call,
    connect,
    pattern,
    python,
    receive_all,
    receive_exactly,
    refusing,
    swallowing,
)
from .backends import head_of, http_server, scripted, status_of, told
from .running import EXAMPLES, reset, server, settles

NAME = "reverse_proxy.py"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Handler(BaseHTTPRequestHandler):
    """Answers with the fields of the request and a hash of its body; in chunks, or until the end."""

    protocol_version = "HTTP/1.1"
    name = "one"

    def do_GET(self) -> None:
        self._answer(json.dumps({"name": self.name, "path": self.path, **self.headers}).encode())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x;ext=1\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body)
        elif self.path != "/end":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close, X-Secret")
        self.send_header("X-Secret", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Other(Handler):
    name = "two"


@contextmanager
def between(*backends: int, args: tuple[str, ...] = ()) -> Iterator[tuple[Program, int]]:
    with server(NAME, *args, *(f"127.0.0.1:{port}" for port in backends)) as (program, port):
        yield program, port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a proxy that all these tests share: none of them may harm it."""
    with http_server(Handler) as backend, between(backend) as (_, port):
        yield port


@contextmanager
def before(serve: Callable[[socket.socket], None], *args: str) -> Iterator[int]:
    """Run the proxy before a server that serves one connection."""
    with scripted(serve) as backend, between(backend, args=args) as (_, port):
        yield port


def curl(port: int, *args: str, path: str = "/") -> bytes:
    return call(command(*args, f"http://127.0.0.1:{port}{path}")).stdout


def responds(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(conn: socket.socket) -> None:
        assert head_of(conn).endswith(b"\r\n\r\n")
        conn.sendall(answer)

    return serve


# curl and http.server.


def test_a_request_and_its_fields(port: int) -> None:
    fields = ["-H", "X-Forwarded-For: 192.0.2.1", "-H", "X-Mine: 1", "-H", "Connection: X-Hop", "-H", "X-Hop: 1"]
    seen = json.loads(curl(port, *fields, path="/a?b=%20"))
    assert (seen["path"], seen["X-Mine"], seen["Via"]) == ("/a?b=%20", "1", "1.1 reverse_proxy")
    assert seen["X-Forwarded-For"] == "192.0.2.1, 127.0.0.1"
    assert (seen["Connection"], seen["Host"]) == ("close", f"127.0.0.1:{port}")
    assert "X-Hop" not in seen


@pytest.mark.parametrize("path", ["/", "/chunks", "/end"])
def test_a_connection_is_kept_however_the_backend_ends_its_body(port: int, path: str) -> None:
    url = f"http://127.0.0.1:{port}{path}"
    done = call(command("-v", url, url, "-w", "%{num_connects}\n")).stdout
    assert done.count(b'"name": "one"') == 2
    assert done.endswith(b"0\n")


def test_fields_of_a_connection_are_not_passed_back(port: int) -> None:
    head = curl(port, "-I")
    assert b"200 OK" in head
    assert b"Content-Length: " in head
    assert b"Secret" not in head


@pytest.mark.parametrize("fields", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]])
def test_a_large_body(port: int, tmp_path: Path, fields: list[str]) -> None:
    data = pattern(1, 5_000_000)
    (tmp_path / "data").write_bytes(data)
    answer = curl(port, *fields, "--data-binary", f"@{tmp_path / 'data'}")
    assert answer.decode() == hashlib.sha256(data).hexdigest()


def test_a_client_with_http_1_0_gets_no_chunks(port: int) -> None:
    answer = told(port, b"GET /chunks HTTP/1.0\r\nHost: a\r\n\r\n")
    assert b"chunked" not in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["name"] == "one"


# Backends.


def test_backends_take_turns_and_one_that_refuses_is_left_out() -> None:
    with http_server(Handler) as one, http_server(Other) as two, refusing() as none:
        with between(one, none, two) as (program, port):
            names = [json.loads(curl(port))["name"] for _ in range(6)]
            assert set(names) == {"one", "two"}
            program.announced(f"^127.0.0.1:{none} is down: ")
        assert program.stdout().count(b"is down") == 1


def test_a_backend_that_comes_back_is_used_again() -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))  # it refuses until it listens
        with between(late.getsockname()[1]) as (program, port):
            assert status_of(port, GET) == 502
            late.listen()
            with beside(told, port, CLOSING) as asking, late.accept()[0] as conn:
                responds(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(conn)
                assert asking.outcome().endswith(b"ok")
            program.announced("is up$")


def test_no_backend() -> None:
    with refusing() as backend, between(backend) as (_, port):
        assert status_of(port, GET) == 502


def test_a_backend_that_does_not_answer_a_connection() -> None:
    with swallowing() as backend, between(backend, args=("--connect", "0.1")) as (_, port):
        assert status_of(port, GET) == 504


def test_a_backend_that_is_silent() -> None:
    def serve(conn: socket.socket) -> None:
        assert receive_all(conn).startswith(b"GET / HTTP/1.1\r\n")

    with before(serve, "--response", "0.2") as port:
        assert status_of(port, GET) == 504


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad field: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
    ],
)
def test_a_backend_that_answers_badly(answer: bytes) -> None:
    with before(responds(answer)) as port:
        assert status_of(port, GET) == 502


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ],
)
def test_a_response_that_is_broken_off_does_not_look_complete(answer: bytes) -> None:
    with before(responds(answer)) as port, connect("127.0.0.1", port) as sock:
        sock.sendall(GET)
        with pytest.raises(ConnectionResetError):
            assert not receive_all(sock).endswith(b"0\r\n\r\n")


def test_interim_responses_are_dropped() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    with before(responds(answer)) as port:
        assert told(port, CLOSING).startswith(b"HTTP/1.1 204 No Content\r\n")


def test_a_backend_that_does_not_want_the_body() -> None:
    """Its answer arrives while the client still sends, and nothing after it is taken for a request."""
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    with before(responds(answer)) as port, connect("127.0.0.1", port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + GET)
        assert receive_all(sock).startswith(b"HTTP/1.1 413 ")


def test_a_response_may_begin_before_the_body_has_ended() -> None:
    def serve(conn: socket.socket) -> None:
        head_of(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while data := conn.recv(10):
            conn.sendall(data)

    with before(serve) as port, connect("127.0.0.1", port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"200 OK" in head_of(sock)
        for _ in range(3):
            sock.sendall(b"1\r\n!\r\n")
            received = b""
            while b"!" not in received:
                received += sock.recv(1)
                assert received


# Clients.


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\r\n\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\n Y: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"x" * 100_000, 431),
        # What two servers could understand differently.
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\nx\r\na\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 10_000, 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100, 400),
    ],
)
def test_bad_requests(port: int, request_: bytes, status: int) -> None:
    assert status_of(port, request_) == status
    assert json.loads(curl(port))["name"] == "one"


def test_requests_in_one_packet_are_answered_in_order(port: int) -> None:
    post = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d"
    answer = told(port, b"".join(post % (at, at) for at in range(5)) + CLOSING)
    hashes = [hashlib.sha256(b"%d" % at).hexdigest().encode() for at in range(5)]
    at = [answer.index(found) for found in hashes]
    assert at == sorted(at)
    assert answer.count(b"HTTP/1.1 200 OK") == 6


def test_a_client_that_is_too_slow() -> None:
    with refusing() as backend, between(backend, args=("--client", "0.2")) as (_, port):
        assert status_of(port, b"GET / HTTP/1.1\r\nHost: ") == 408
        with connect("127.0.0.1", port) as sock:
            assert sock.recv(1) == b""  # it has said nothing


def test_a_body_that_does_not_come() -> None:
    def serve(conn: socket.socket) -> None:
        assert b"POST" in receive_all(conn)

    with before(serve, "--client", "0.2") as port:
        assert status_of(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab") == 408


def test_clients_that_leave_at_any_point_leave_nothing_behind() -> None:
    with http_server(Handler) as backend, between(backend) as (program, port), connect("127.0.0.1", port) as probe:

        def ask() -> None:
            probe.sendall(GET)
            head = head_of(probe)
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert b'"one"' in receive_exactly(probe, size)

        ask()
        open_files = program.open_files()
        post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        for end in range(0, len(post) + 1, 3):
            for leave in (reset, socket.socket.close):
                sock = connect("127.0.0.1", port)
                sock.sendall(post[:end])
                leave(sock)
        settles(program, open_files, ask)


def test_one_that_does_not_read_holds_nobody_up() -> None:
    class Large(Handler):
        def do_GET(self) -> None:
            self._answer(bytes(50_000_000 if self.path == "/large" else 1))

    with http_server(Large) as backend, between(backend) as (_, port), connect("127.0.0.1", port) as deaf:
        deaf.sendall(GET.replace(b"/ ", b"/large "))
        assert b"200 OK" in head_of(deaf)
        for _ in range(10):
            assert curl(port) == b"\0"
        reset(deaf)


def test_many_clients_at_a_time(port: int) -> None:
    with ExitStack() as stack:
        asking = [stack.enter_context(beside(told, port, GET * 20 + CLOSING)) for _ in range(20)]
        assert [one.outcome().count(b"HTTP/1.1 200 OK") for one in asking] == [21] * 20


# The end.


def test_sigterm_lets_a_response_end() -> None:
    def serve(conn: socket.socket) -> None:
        head_of(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        program.send_signal(signal.SIGTERM)
        conn.sendall(b"def")

    with scripted(serve) as backend, python(EXAMPLES / NAME, "--port", "0", f"127.0.0.1:{backend}") as program:
        assert told(program.port(), CLOSING).endswith(b"abcdef")
        assert program.wait() == 0


def test_ctrl_c_while_a_backend_thinks() -> None:
    asked = socket.socketpair()

    def serve(conn: socket.socket) -> None:
        head_of(conn)
        asked[0].sendall(b"!")
        receive_all(conn)

    with asked[0], asked[1], scripted(serve) as backend, ExitStack() as clients:
        with between(backend, args=("--grace", "0.1")) as (_, port):
            sock = clients.enter_context(connect("127.0.0.1", port))
            sock.sendall(GET)
            assert asked[1].recv(1) == b"!"
        assert sock.recv(1) == b""


def test_bad_arguments() -> None:
    with python(EXAMPLES / NAME, "nonsense") as program:
        assert program.wait() == 2
        assert b"'nonsense' is not HOST:PORT" in program.stderr()
