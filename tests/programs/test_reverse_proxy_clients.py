"""The reverse proxy, and clients that are malformed, hostile, slow, many, or gone."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from ..interop.peers import LIMIT_S, beside, connect, receive_all, receive_exactly, refusing
from .backends import head_of, http_server, status_of, told
from .proxied import CLOSING, GET, Handler, backend_process, before, between, curl
from .running import reset


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a proxy that all these tests share: none of them may harm it."""
    with backend_process() as backend, between(backend) as (_, port):
        yield port


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
        open_files = program.open_files()  # perhaps with the connection to the backend
        post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        for end in range(0, len(post) + 1, 3):
            for leave in (reset, socket.socket.close):
                sock = connect("127.0.0.1", port)
                sock.sendall(post[:end])
                leave(sock)
        deadline = monotonic() + LIMIT_S
        while program.open_files() > open_files:
            assert monotonic() < deadline
        ask()


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
