"""The SOCKS5 proxy, against curl, and bytes by hand."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ..interop.peers import (
    LIMIT_S,
    beside,
    connect,
    needs,
    pattern,
    python,
    receive_all,
    receive_exactly,
    refusing,
    swallowing,
)
from ..machine import has_ipv6
from .running import EXAMPLES, answers, is_over, reset, send_all, server, settles

NAME = "socks5_server.py"
HELLO, WELCOME = b"\5\1\0", b"\5\0"
GRANTED = b"\5\0\0\1\x7f\0\0\1"  # and a port


def request(host: bytes, port: int, kind: int = 1, command: int = 1) -> bytes:
    return bytes([5, command, 0, kind]) + host + struct.pack("!H", port)


def name(text: bytes) -> bytes:
    return bytes([len(text)]) + text


LOCAL = socket.inet_aton("127.0.0.1")


@contextmanager
def upstream(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, int]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        listener.settimeout(LIMIT_S)
        yield listener, listener.getsockname()[1]


@contextmanager
def through(proxy: int, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect through the proxy. Yield both ends."""
    with connect("127.0.0.1", proxy) as client:
        client.sendall(HELLO + request(LOCAL, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(LIMIT_S)
            answer = receive_exactly(client, 12)
            assert answer[:10] == WELCOME + GRANTED
            assert struct.unpack("!H", answer[10:])[0] == accepted.getpeername()[1]
            yield client, accepted


def curl(proxy: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    command = [needs("curl"), "-sS", "--noproxy", "", "--proxy", proxy, *args]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)


def serve_http(listener: socket.socket, body: bytes) -> bytes:
    sock, _ = listener.accept()
    with sock:
        got = sock.recv(65536)
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
    return got


# curl.


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_curl(scheme: str) -> None:
    body = pattern(1, 1_000_000)
    with server(NAME) as (_, port), upstream() as (listener, at):
        for host in ("127.0.0.1", "localhost"):
            with beside(serve_http, listener, body):
                # With socks5 curl itself looks up the name, and newer versions would only try ::1.
                done = curl(f"{scheme}://127.0.0.1:{port}", "--ipv4", f"http://{host}:{at}/")
                assert (done.returncode, done.stdout) == (0, body), done.stderr


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_curl_over_ipv6() -> None:
    with server(NAME) as (_, port), upstream("::1") as (listener, at), beside(serve_http, listener, b"six"):
        assert curl(f"socks5h://127.0.0.1:{port}", f"http://[::1]:{at}/").stdout == b"six"


def test_curl_with_a_password() -> None:
    with server(NAME, "--user", "ann:secret", "--user", "bob:s:x") as (_, port), upstream() as (listener, at):
        for user in ("ann:secret@", "bob:s%3Ax@"):
            with beside(serve_http, listener, b"hello"):
                assert curl(f"socks5h://{user}127.0.0.1:{port}", f"http://127.0.0.1:{at}/").stdout == b"hello"
        for user in ("ann:wrong@", "eve:secret@", ""):
            assert curl(f"socks5h://{user}127.0.0.1:{port}", f"http://127.0.0.1:{at}/").returncode == 97


def test_curl_is_told_why() -> None:
    with server(NAME, "--connect", "0.5") as (_, port), refusing() as at, swallowing() as swallows:
        for url, code in (
            (f"http://127.0.0.1:{at}/", b"(5)"),
            (f"http://127.0.0.1:{swallows}/", b"(6)"),
            ("http://a..b/", b"(4)"),
        ):
            done = curl(f"socks5h://127.0.0.1:{port}", url)
            assert done.returncode == 97
            assert code in done.stderr


# Bytes by hand.


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(LOCAL, 1, command=2), 7),
        (request(LOCAL, 1, command=3), 7),
        (request(b"", 1, kind=2), 8),
        (request(name(b""), 1, kind=3), 4),
        (request(name(b"/run/docker.sock"), 1, kind=3), 4),
        (request(name(b"/run/docker.sock"), 0, kind=3), 4),
        (request(name(b"@abstract"), 0, kind=3), 4),
        (request(name(b"\0abstract"), 0, kind=3), 4),
        (request(name(b"a b\r\n"), 1, kind=3), 4),
        (request(name(b"\xff" * 255), 1, kind=3), 4),
        (request(name(b"a" * 255), 1, kind=3), 4),
        (request(name(b"a..b"), 1, kind=3), 4),
    ],
)
def test_requests_that_are_refused(asked: bytes, code: int) -> None:
    with server(NAME) as (_, port), connect("127.0.0.1", port) as sock:
        answers(sock, HELLO + asked, WELCOME + bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
        sock.shutdown(socket.SHUT_WR)
        assert is_over(sock)


SOCKS4 = b"\4\1\0\x50\x7f\0\0\1\0"


SOCKS4 = b"\4\1\0\x50\x7f\0\0\1\0"


@pytest.mark.parametrize("greeting", [SOCKS4, b"GET / HTTP/1.0\r\n\r\n", b"\5\0", b"\5\1\2", b"\5", b""])
def test_greetings_that_are_refused(greeting: bytes) -> None:
    with server(NAME) as (_, port), connect("127.0.0.1", port) as sock:
        send_all(sock, greeting)
        assert is_over(sock)


def test_data_that_comes_with_the_request_and_half_close() -> None:
    data = pattern(2, 500_000)
    with server(NAME) as (_, port), upstream() as (listener, at), connect("127.0.0.1", port) as client:
        with beside(send_all, client, HELLO + request(name(b"localhost"), at, kind=3) + data):
            accepted, _ = listener.accept()
            with accepted:
                assert receive_all(accepted) == data  # to the end, which the client has sent
                accepted.sendall(b"answer")
            assert receive_all(client)[:2] == WELCOME


def test_a_reset_is_passed_on() -> None:
    with server(NAME) as (program, port), upstream() as (listener, _):
        with through(port, listener) as (client, accepted):
            reset(accepted)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with through(port, listener) as (client, accepted):
            reset(client)
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
        assert program.stderr() == b""


def test_silence_in_both_directions_ends_a_connection() -> None:
    with server(NAME, "--idle", "0.5") as (_, port), upstream() as (listener, _):
        with through(port, listener) as (client, accepted):
            for _ in range(10):  # together longer than the limit
                accepted.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    accepted.recv(1)
                client.sendall(b"x")
                accepted.settimeout(LIMIT_S)
                assert accepted.recv(1) == b"x"
            assert is_over(client)
            assert is_over(accepted)


def test_slow_and_broken_clients_hurt_nobody() -> None:
    def is_refused() -> None:
        with connect("127.0.0.1", port) as sock:
            sock.sendall(SOCKS4)
            assert is_over(sock)

    with server(NAME, "--clients", "20") as (program, port), upstream() as (listener, _):
        is_refused()
        open_files = program.open_files()
        with ExitStack() as stack:
            for half in (b"", b"\5", HELLO, HELLO + b"\5\1\0", HELLO + b"\5\1\0\3\xff"):
                stack.enter_context(connect("127.0.0.1", port)).sendall(half)
            deaf, flooding = stack.enter_context(through(port, listener))
            deaf.setblocking(False)
            flooding.settimeout(0.5)
            with pytest.raises(TimeoutError):
                flooding.sendall(bytes(64_000_000))
            with through(port, listener) as (client, accepted):
                client.sendall(b"!")
                assert accepted.recv(1) == b"!"
        for at in range(30):
            sock = connect("127.0.0.1", port)
            sock.sendall((b"\5", HELLO, b"\5\1\0\5\1")[at % 3])
            reset(sock)
        settles(program, open_files, is_refused)


def test_connections_beyond_the_limit_wait() -> None:
    with server(NAME, "--clients", "1") as (_, port):
        with connect("127.0.0.1", port) as second:
            second.sendall(HELLO)
            assert receive_exactly(second, 2) == WELCOME
            with connect("127.0.0.1", port) as third:
                third.sendall(HELLO)
                third.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    third.recv(1)
                second.close()
                third.settimeout(LIMIT_S)
                assert receive_exactly(third, 2) == WELCOME


def test_ctrl_c_cuts_what_lasts() -> None:
    with upstream() as (listener, _), ExitStack() as stack:
        with server(NAME, "--grace", "0.2") as (_, port):
            client, accepted = stack.enter_context(through(port, listener))
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
        assert is_over(client)
        assert is_over(accepted)


@pytest.mark.parametrize("user", ["ann", ":secret", "ann:", "a" * 256 + ":b"])
def test_a_wrong_user_is_said(user: str) -> None:
    with python(EXAMPLES / NAME, "--user", user) as program:
        assert program.wait() == 2
        assert b"Traceback" not in program.stderr()
