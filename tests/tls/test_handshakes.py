"""The handshakes of a server that fail or are slow: one line each in the log, and nobody else is delayed."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from socket2 import (
    TCP,
    TLS,
    Server,
    connect,
    newthread,
    run,
    sleep,
    stream,
)

from .certificates import Authority
from .ends import Steps
from .hosting import at_info, echo, gone, lines, with_server


def send_plain(what: bytes) -> Callable[[Any], Steps]:
    def client(address: Any) -> Steps:
        sock: TCP
        with (yield from connect(*address)) as sock:
            yield from sock.sendall(what)
            sock.shutdown(socket.SHUT_WR)
            while (yield from sock.recv(1000)):
                pass  # at most an alert, and a clean end

    return client


def leave(address: Any) -> Steps:
    (yield from connect(*address)).close()


def reset(address: Any) -> Steps:
    with (yield from connect(*address, linger=0)) as sock:
        yield from sock.sendall(b"\x16")


def distrust(address: Any) -> Steps:
    with pytest.raises(ssl.SSLCertVerificationError):
        yield from connect(*address, tls=ssl.create_default_context(), server_hostname="localhost")


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (send_plain(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"), "http request"),
        (send_plain(b"SSH-2.0-scanner\r\n"), "wrong version number|record"),
        (send_plain(b"\x16\x03\x01"), "during the TLS handshake"),
        (leave, "during the TLS handshake"),
        (reset, "reset|during the TLS handshake"),
        (distrust, "(?i)alert unknown ca"),
    ],
    ids=["http", "ssh", "cut", "leave", "reset", "distrust"],
)
def test_a_bad_handshake_is_one_line(
    any_poller: None, authority: Authority, caplog: pytest.LogCaptureFixture, client: Any, words: str
) -> None:
    def test(server: Server, address: Any) -> Steps:
        yield from client(address)
        while not caplog.records:
            yield from sleep(0.001)
        yield from gone(server)

    with at_info(caplog):
        run(with_server, Server(echo, tls=authority.server()), test)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.records[0].exc_info is None
    assert "\n" not in caplog.records[0].getMessage()
    assert re.search(words, caplog.records[0].getMessage())


def test_a_silent_client_is_one_line(any_poller: None, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address)) as sock:
            assert (yield from sock.recv(1)) == b""

    with at_info(caplog):
        run(with_server, Server(echo, tls=authority.server(), handshake_s=0.02), test)
    ((level, text),) = lines(caplog)
    assert level == "INFO"
    assert "TLS handshake took longer than 0.02 s" in text


def test_a_broken_connection_is_the_clients_fault(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """After the handshake, too: an end that is cut off, and a record that was changed."""

    def test(server: Server, address: Any) -> Steps:
        for break_it in (lambda conn: conn.close(), lambda conn: newthread(conn.sock.sendall(b"junk" * 10))):
            caplog.clear()
            with (yield from connect(*address, tls=authority.client())) as conn:
                yield from conn.sendall(b"x")
                assert (yield from conn.recv()) == b"x"
                break_it(conn)
                while not caplog.records:
                    yield from sleep(0.001)
            assert [record.levelname for record in caplog.records] == ["INFO"]

    def lines_of(conn: TLS) -> Steps:
        data = stream(conn)
        while piece := (yield from data.recv()):
            yield from data.sendall(piece)

    with at_info(caplog):
        for handler in (echo, lines_of):
            run(with_server, Server(handler, tls=authority.server()), test)


def test_a_slow_handshake_delays_nobody(any_poller: None, authority: Authority) -> None:
    def test(server: Server, address: Any) -> Steps:
        slow = yield from connect(*address)
        with slow:
            for _ in range(3):
                with (yield from connect(*address, tls=authority.client())) as conn:
                    yield from conn.sendall(b"x")
                    assert (yield from conn.recv()) == b"x"

    run(with_server, Server(echo, tls=authority.server()), test)


def test_so_many_handshakes_at_a_time(authority: Authority) -> None:
    def test(server: Server, address: Any) -> Steps:
        slow = yield from connect(*address)
        with slow, (yield from connect(*address)) as other:
            for early in slow, other:
                yield from early.sendall(b"\x16")
            while server.connections < 2:
                yield from sleep(0.001)
            waiting = newthread(connect(*address, tls=authority.client()))
            yield from sleep(0.05)
            assert not waiting.done
            slow.close()
            with (yield from waiting.join()) as conn:
                yield from conn.sendall(b"x")
                assert (yield from conn.recv()) == b"x"

    run(with_server, Server(echo, tls=authority.server(), max_handshakes=2), test)


def test_silent_clients_keep_nobody_out(any_poller: None, authority: Authority) -> None:
    def test(server: Server, address: Any) -> Steps:
        silent = []
        for _ in range(3):
            silent.append((yield from connect(*address)))
        while server.connections < 3:
            yield from sleep(0.001)
        with (yield from connect(*address, tls=authority.client())) as conn:
            yield from conn.sendall(b"x")
            assert (yield from conn.recv()) == b"x"
        for one in silent:
            one.close()
        yield from gone(server)

    run(with_server, Server(echo, tls=authority.server(), max_handshakes=1, handshake_s=None), test)


def test_a_silent_client_is_one_line_with_a_limit_too(
    any_poller: None, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address)) as silent:
            assert (yield from silent.recv(1)) == b""
            yield from gone(server)

    with at_info(caplog):
        run(with_server, Server(echo, tls=authority.server(), max_handshakes=1, handshake_s=0.05), test)
    [(level, line)] = lines(caplog)
    assert level == "INFO"
    assert "the client sent nothing for 0.05 s, so TLS did not begin" in line


def test_nobody_waits_for_others_handshakes_for_ever(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """The third is still in the line when its time is over."""

    def test(server: Server, address: Any) -> Steps:
        with (
            (yield from connect(*address)) as one,
            (yield from connect(*address)) as two,
            (yield from connect(*address)) as last,
        ):
            for conn in one, two, last:
                yield from conn.sendall(b"\x16")
            with suppress(ConnectionResetError):  # nobody has received the byte; Wine makes an end of this
                assert not (yield from last.recv(1))
            yield from gone(server)

    with at_info(caplog):
        run(with_server, Server(echo, tls=authority.server(), max_handshakes=1, handshake_s=0.05), test)
    assert [level for level, _ in lines(caplog)] == ["INFO"] * 3
    assert "waited 0.05 s for the handshakes of others, because of max_handshakes=1" in caplog.text
    assert "the TLS handshake took longer than 0.05 s" in caplog.text
