"""Other implementations notice when we cut off the end, and we notice when they do."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Callable

import pytest

from socket2 import TLS, Server, call_in_thread, connect, listen, stream

from ..interop.peers import LIMIT_S, beside, receive_all
from .certificates import Authority, versions
from .ends import Steps, limited
from .interactive import Interactive
from .test_gnutls import gnutls_client, gnutls_server, port_of
from .test_openssl import flag_of, s_client, s_server


def client_of_openssl(authority: Authority, port: int, version: str) -> Interactive:
    return s_client(authority, port, flag_of(version))


def server_of_openssl(authority: Authority, version: str) -> Interactive:
    return s_server(authority, flag_of(version))


def port_of_openssl(server: Interactive) -> Steps:
    return int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])


clients = pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(client_of_openssl, "unexpected eof while reading", id="openssl"),
        pytest.param(gnutls_client, "TLS connection was non-properly terminated", id="gnutls"),
    ],
)
servers = pytest.mark.parametrize(
    ("make", "find_port", "complaint"),
    [
        pytest.param(server_of_openssl, port_of_openssl, "unexpected eof while reading", id="openssl"),
        pytest.param(gnutls_server, port_of, "Error while receiving data", id="gnutls"),
    ],
)
who = pytest.mark.parametrize("is_killed", [True, False], ids=["theirs", "ours"])


def is_cut_off(conn: TLS, peer: Interactive, complaint: str, is_killed: bool) -> Steps:
    """Cut off the end of one of the two: the other one complains."""
    if is_killed:
        os.kill(peer.pid, signal.SIGKILL)
        with pytest.raises(ssl.SSLEOFError, match="close_notify"):
            while (yield from conn.recv()):
                pass
    else:
        conn.close()
        yield from peer.until(complaint)


@versions
@clients
@who
def test_a_client(
    authority: Authority, version: str, make: Callable[..., Interactive], complaint: str, is_killed: bool
) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with make(authority, listener.getsockname()[1], version) as client:
                with (yield from listener.accept()) as conn:
                    yield from conn.sendall(b"hello\n")
                    yield from client.until("hello")
                    yield from is_cut_off(conn, client, complaint, is_killed)

    limited(main)


@versions
@servers
@who
def test_a_server(
    authority: Authority,
    version: str,
    make: Callable[..., Interactive],
    find_port: Callable[[Interactive], Steps],
    complaint: str,
    is_killed: bool,
) -> None:
    def main() -> Steps:
        with make(authority, version) as server:
            port = yield from find_port(server)
            with (yield from connect("127.0.0.1", port, tls=authority.client())) as conn:
                yield from conn.sendall(b"hello\n")
                yield from server.until("hello")
                server.say("hello")
                yield from conn.recv()  # with unread tickets the kernel would reset the connection
                yield from is_cut_off(conn, server, complaint, is_killed)

    limited(main)


def cut_off(conn: TLS) -> Steps:
    """Answer without an end."""
    lines = stream(conn)
    while (yield from lines.recvline()):
        pass
    yield from lines.sendall(b"HTTP/1.0 200 OK\r\n\r\nthe beg")
    lines.close()


def check_client(authority: Authority, version: str, visit: Callable[[int], None]) -> None:
    def main() -> Steps:
        server = Server(cut_off, tls=authority.server(version))
        yield from server.listen("127.0.0.1")
        with beside(visit, server.addresses[0][1]) as thread:
            yield from call_in_thread(thread.outcome)
        yield from server.stop()

    limited(main)


@versions
def test_the_standard_library(authority: Authority, version: str) -> None:
    def visit(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as plain:
            context = authority.client(version)
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
                sock.sendall(b"\n")
                with pytest.raises(ssl.SSLEOFError):
                    receive_all(sock)

    check_client(authority, version, visit)


@versions
def test_trio(authority: Authority, version: str) -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed (pip install trio)")

    async def visit(port: int) -> None:
        context = authority.client(version)
        conn = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=context)
        await conn.send_all(b"\n")
        with pytest.raises(trio.BrokenResourceError):
            while await conn.receive_some():
                pass
        await trio.aclose_forcefully(conn)

    check_client(authority, version, lambda port: trio.run(visit, port))
