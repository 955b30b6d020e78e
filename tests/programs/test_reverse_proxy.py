"""The reverse proxy, between curl and http.server, and before backends that answer badly or not at all."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..interop.curl import command
from ..interop.peers import beside, call, connect, pattern, python, receive_all, refusing, swallowing
from .backends import head_of, http_server, scripted, status_of, told
from .proxied import CLOSING, GET, NAME, Handler, Other, backend_process, before, between, curl
from .running import EXAMPLES


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a proxy that all these tests share: none of them may harm it."""
    with backend_process() as backend, between(backend) as (_, port):
        yield port


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
