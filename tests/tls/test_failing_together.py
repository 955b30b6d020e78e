"""When TLS fails in one direction, the other one fails as well. A thread that waits there must not wait for ever."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from socket2 import TLS, Closed, Operation, Thread, bytes_sent, newthread, sleep, stream
from socket2.threads.scheduler import current_scheduler
from socket2.tls import carrier

from ..interop.peers import LIMIT_S
from .certificates import Authority
from .ends import Steps, ends, limited, over, shaken, tls

TAMPERED = b"\x17\x03\x03\x00\x20" + bytes(32)

each_size = pytest.mark.parametrize("size", [1 << 14, 1 << 17], ids=["a record", "several records"])


def send_for_ever(conn: TLS, size: int) -> Steps:
    while True:
        yield from conn.sendall(bytes(size))


def outcome(op: Operation[Any]) -> Steps:
    try:
        return (yield from op)
    except OSError as error:
        return error


def over_and_out(*conns: TLS) -> Steps:
    """Close them, and wait until the threads that still wanted to send something have ended."""
    for conn in conns:
        conn.close()
    while len(current_scheduler().threads) > 1:
        yield from sleep(0.001)


def fails_alike(thread: Thread[Any], error: BaseException) -> Steps:
    with pytest.raises(type(error)) as failure:
        yield from thread.join()
    assert str(failure.value) == str(error)
    assert failure.value.socket_fd == error.socket_fd  # type: ignore[attr-defined]
    return failure.value


@each_size
@pytest.mark.parametrize("kind", ["tcp", "memory", "tls"])
@pytest.mark.parametrize("fault", ["a tampered record", "an end without a close_notify"])
def test_a_sender_fails_with_the_receiver(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, size: int
) -> None:
    monkeypatch.setattr(carrier, "ALERT_S", 0.01)
    with tls(authority, kind) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            sending = newthread(send_for_ever, server, size)
            if fault == "a tampered record":
                yield from stream(client.sock).sendall(TAMPERED)
            else:
                client.sock.shutdown(socket.SHUT_WR)
            fd = server.fileno()
            with pytest.raises(ssl.SSLError) as failure:
                yield from server.recv()
            assert failure.value.socket_fd == fd  # type: ignore[attr-defined]
            found = yield from fails_alike(sending, failure.value)
            assert 0 <= bytes_sent(found) <= size
            for op in server.recv(), server.recv_into(bytearray(1)), server.sendall(b"x"), server.sendall(bytearray(9)):
                with pytest.raises(type(failure.value)):
                    yield from op
            yield from over_and_out(client, server)

        limited(main)


def test_the_alert_is_sent_to_a_peer_that_receives(
    any_poller: None, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "ALERT_S", LIMIT_S)
    with tls(authority, "tcp") as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            sending = newthread(send_for_ever, server, 1 << 17)
            yield from sleep(0)
            yield from client.sock.sendall(TAMPERED)
            with pytest.raises(ssl.SSLError) as failure:
                yield from server.recv()
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                while True:
                    yield from client.recv()
            yield from fails_alike(sending, failure.value)
            yield from over_and_out(client, server)

        limited(main)


class Broken:
    """What an engine calls to send and to receive, after OpenSSL has lost its way."""

    def __init__(self, sound: Any) -> None:
        self._sound = sound

    def write(self, data: object) -> int:
        raise ssl.SSLError(1, "broken")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sound, name)


@pytest.mark.parametrize("kind", ["tcp", "memory", "tls"])
@pytest.mark.parametrize("data", [b"data", bytearray(b"data")], ids=["bytes", "bytearray"])
def test_a_receiver_fails_with_the_sender(authority: Authority, kind: str, data: bytes) -> None:
    with tls(authority, kind) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            receiving = newthread(server.recv())
            yield from sleep(0)
            server._engine._ssl = Broken(server._engine._ssl)
            with pytest.raises(ssl.SSLError, match="broken") as failure:
                yield from server.sendall(data)
            yield from fails_alike(receiving, failure.value)
            yield from over_and_out(client, server)

        limited(main)


def test_both_fail_with_the_handshake(authority: Authority) -> None:
    one, other = ends(authority, "tcp")
    client = TLS(one, authority.client(), server_hostname="other.example")
    with client, TLS(other, authority.server(), server_side=True) as server:

        def main() -> Steps:
            threads = [newthread(outcome, op) for op in (client.sendall(b"x"), client.recv(), client.handshake())]
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                yield from server.handshake()
            for thread in threads:
                assert isinstance((yield from thread.join()), ssl.SSLCertVerificationError)
            with pytest.raises(Closed):
                yield from client.recv()

        limited(main)


def test_a_handshake_of_a_closed_stream(authority: Authority) -> None:
    for closes_below in False, True:
        with tls(authority) as (client, server):

            def main(conn: Any = client.sock if closes_below else client, client: TLS = client) -> Steps:
                yield from client.handshake()
                conn.close()
                with pytest.raises(Closed):
                    yield from client.handshake()

            def both(main: Any = main, server: TLS = server) -> Steps:
                shaking = newthread(server.handshake())
                yield from main()
                yield from shaking.join()

            limited(both)


def test_a_send_behind_a_close_notify_that_has_not_left(authority: Authority) -> None:
    """It fails at once. What was to be sent before may never leave."""
    client, server = over(authority, *ends(authority, "memory", 10_000))
    with client, server:

        def main() -> Steps:
            yield from shaken(client, server)
            client.settimeout(0.01, "write")
            with pytest.raises(TimeoutError):
                yield from client.sendall(bytes(50_000))
            client.shutdown()
            for _ in "before the close_notify", "while it waits":
                for data in b"x", bytes(100_000), bytearray(1):
                    with pytest.raises(BrokenPipeError) as failure:
                        yield from client.sendall(data)
                    assert failure.value.bytes_sent == 0  # type: ignore[attr-defined]
                yield from sleep(0)
            yield from over_and_out(client, server)

        limited(main)
