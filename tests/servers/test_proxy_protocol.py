"""Servers behind a balancer that speaks the PROXY protocol: HAProxy, and one made by hand."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import TCP, Server, connect, run, sleep, starttls, stream

from ..interop.haproxy import haproxy
from ..interop.peers import LIMIT_S
from ..tls.certificates import Authority
from .test_proxy_header import LONGEST, V4, binary, extra
from .test_server import Steps, ask, everything, until

LOCAL = ["127.0.0.0/8"]
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n"
FROM_V4 = b"192.0.2.1:51234"


def tell(conn: Any) -> Steps:
    """Answer with the client's address and all that it sends."""
    data = yield from everything(conn)
    yield from conn.sendall(socket2.format_address(conn.remote_address).encode() + b" " + data)


def serving(test: Any, **options: Any) -> Any:
    """Run `test(server)` with a server of `tell` behind a balancer."""

    def main() -> Steps:
        server = Server(tell, **{"proxy_protocol": LOCAL} | options)
        yield from server.listen("127.0.0.1")
        try:
            with socket2.timeout(LIMIT_S):
                return (yield from test(server))
        finally:
            yield from server.stop(0)

    return run(main)


def answers(*data: bytes, **options: Any) -> list[bytes]:
    """Return what comes back for each, sent on a connection of its own."""

    def test(server: Server) -> Steps:
        found = []
        for each in data:
            try:
                found.append((yield from ask(server.addresses[0], each)))
            except OSError:  # it was reset
                found.append(b"")
        return found

    found: list[bytes] = serving(test, **options)
    return found


@pytest.mark.parametrize("header", [V1, binary(1, V4), binary(1, V4 + extra(0x20, bytes(500)))])
def test_the_address_is_that_in_the_header(header: bytes) -> None:
    assert answers(header + b"hello", header) == [FROM_V4 + b" hello", FROM_V4 + b" "]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary(0, b"x" * 9, command=0x20)])
def test_the_balancers_own_connection_has_its_own_address(header: bytes) -> None:
    (answer,) = answers(header + b"hello")
    assert answer.startswith(b"127.0.0.1:")
    assert answer.endswith(b" hello")


@pytest.mark.parametrize("header", [LONGEST, binary(1, V4 + extra(2, b"a.example"))])
def test_a_header_cut_anywhere(header: bytes) -> None:
    """Each piece arrives alone, because the thread that receives it waits for the next."""

    def test(server: Server) -> Steps:
        for cut in range(1, len(header)):
            with (yield from connect(*server.addresses[0])) as conn:
                yield from conn.sendall(header[:cut])
                for _ in range(3):
                    yield from sleep(0)
                yield from conn.sendall(header[cut:] + b"hello")
                conn.shutdown()
                assert (yield from everything(conn)).endswith(b" hello")

    serving(test)


def refusals(caplog: pytest.LogCaptureFixture, *data: bytes, **options: Any) -> list[str]:
    """Return what is logged for clients that get no answer."""
    with caplog.at_level(logging.INFO, logger="socket2.server"):
        assert answers(*data, **options) == [b""] * len(data)
    assert all(record.levelname == "INFO" for record in caplog.records)
    return [record.getMessage().partition(": ")[2] for record in caplog.records]


def test_a_header_from_a_stranger_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = refusals(caplog, V1 + b"hello", proxy_protocol=["10.0.0.0/8", "unix"])
    assert "127.0.0.1" in line
    assert line.endswith("is not one of the balancers in proxy_protocol=")
    assert caplog.records[0].peer.startswith("127.0.0.1:")  # type: ignore[attr-defined]


def test_what_is_no_header_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    lines = refusals(caplog, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 1.1.1.1", binary(1, V4, command=0x29))
    assert [line.rpartition("] ")[2] for line in lines] == [
        "no PROXY header: it does not begin with a header of the PROXY protocol",
        "the connection ended within its PROXY header",
        "no PROXY header: the header has an unknown version or command",
    ]


def test_a_connection_that_ends_without_a_byte_is_a_health_check(caplog: pytest.LogCaptureFixture) -> None:
    assert not refusals(caplog, b"")


def test_a_header_has_a_limit_in_time(caplog: pytest.LogCaptureFixture) -> None:
    def test(server: Server) -> Steps:
        with (yield from connect(*server.addresses[0])) as conn:
            yield from conn.sendall(V1[:20])
            assert not (yield from everything(conn))

    with caplog.at_level(logging.INFO, logger="socket2.server"):
        serving(test, handshake_s=0.02)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "no PROXY header came within 0.02 s"
    ]


def test_a_stop_does_not_wait_for_a_header() -> None:
    def test(server: Server) -> Steps:
        with (yield from connect(*server.addresses[0])) as conn:
            yield from conn.sendall(V1[:20])
            yield from until(lambda: server.connections == 1)
            assert (yield from server.stop(LIMIT_S)) == 0
            assert not (yield from everything(conn))

    serving(test, first_request_s=0)


def test_a_unix_path(tmp_path: Path) -> None:
    def test(_: Server) -> Steps:
        server = Server(tell, proxy_protocol=["unix"])
        yield from server.listen(tmp_path / "s")
        with (yield from connect(tmp_path / "s")) as conn:
            yield from conn.sendall(V1 + b"hello")
            conn.shutdown()
            assert (yield from everything(conn)) == FROM_V4 + b" hello"
        yield from server.stop()

    serving(test)


class Behind:
    """A socket whose first send has a header before it, in the same segment."""

    def __init__(self, sock: TCP, header: bytes) -> None:
        self.sock = sock
        self._header = header

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def sendall(self, data: Any) -> Any:
        header, self._header = self._header, b""
        return self.sock.sendall(header + bytes(data))


@pytest.mark.parametrize("header", [V1, binary(1, V4)])
def test_tls_behind_a_header(header: bytes, authority: Authority) -> None:
    seen: list[Any] = []

    def test(server: Server) -> Steps:
        behind: Any = Behind((yield from connect(*server.addresses[0])), header)
        with (yield from starttls(behind, authority.client(), server_hostname="localhost")) as conn:
            yield from conn.sendall(b"hello")
            conn.shutdown()
            seen.append((yield from stream(conn).recvall()))

    serving(test, tls=authority.server())
    assert seen == [FROM_V4 + b" hello"]


def test_what_else_a_header_says() -> None:
    seen: list[Any] = []

    def look(conn: TCP) -> None:
        seen.append(socket2.proxy_header())

    def main() -> Steps:
        assert socket2.proxy_header() is None
        for balancers in (LOCAL, None):
            server = Server(look, proxy_protocol=balancers)
            yield from server.listen("127.0.0.1")
            header = binary(1, V4 + extra(2, b"a.example") + extra(1, b"h2"))
            with (yield from connect(*server.addresses[0])) as conn:
                yield from conn.sendall(header if balancers else b"")
                assert not (yield from everything(conn))
            yield from server.stop()

    run(main)
    assert seen == [
        socket2.ProxyHeader(("192.0.2.1", 51234), ("198.51.100.7", 443), "a.example", "h2"),
        None,
    ]


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
def test_haproxy(how: str, tmp_path: Path) -> None:
    def test(server: Server) -> Steps:
        backend = f" server s 127.0.0.1:{server.addresses[0][1]} {how}"
        with haproxy(tmp_path / "h", backend, front=" unique-id-format %[uuid]") as address:
            for _ in range(3):
                with (yield from connect(*address)) as conn:
                    yield from conn.sendall(b"hello")
                    conn.shutdown(socket.SHUT_WR)
                    told = f"{socket2.format_address(conn.local_address)} hello"
                    assert (yield from everything(conn)) == told.encode()

    serving(test)


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2-ssl-cn"])
def test_health_checks_of_haproxy_and_tls_that_it_does_not_see(how: str, authority: Authority, tmp_path: Path) -> None:
    def test(server: Server) -> Steps:
        # The interval is also the limit of a check: on a busy machine a short one makes HAProxy give the server up.
        check = "check check-ssl check-sni localhost check-send-proxy verify none inter 30s"
        backend = f" server s 127.0.0.1:{server.addresses[0][1]} {how} {check}"
        with haproxy(tmp_path / "h", backend) as address:
            yield from until(lambda: server.accepted > 0)
            with (yield from connect(*address, tls=authority.client(), server_hostname="localhost")) as conn:
                yield from conn.sendall(b"hello")
                conn.shutdown()
                told = f"{socket2.format_address(conn.sock.local_address)} hello"
                assert (yield from stream(conn).recvall()) == told.encode()

    serving(test, tls=authority.server())
