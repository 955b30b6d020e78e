"""A client and a server that break the rules: an error in clear words or an end, and nothing hangs or is left."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from socket2 import TLS, Cancelled, Server, connect, newthread, sleep, stream
from socket2.threads.coroutines import awaiting

from ..memory import memory_pair
from .certificates import Authority, versions
from .ends import Steps, limited
from .hostile import ALERT, CHANGE_CIPHER, DATA, HANDSHAKE, Hostile, handshake_message, plain_record
from .hosting import at_info, echo, gone, with_server

HELLO = handshake_message(1, b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0")

BEFORE = {
    "garbage": bytes(range(256)) * 4,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half a header": b"\x16\x03",
    "half a record": b"\x16\x03\x01\x01\x00\x01\x00",
    "a record that is too long": plain_record(HANDSHAKE, b"")[:3] + b"\xff\xff" + bytes(1000),
    "empty records": plain_record(HANDSHAKE, b"") * 1000,
    "a fatal alert": plain_record(ALERT, b"\x02\x28"),
    "a close_notify": plain_record(ALERT, b"\x01\x00"),
    "many warnings": plain_record(ALERT, b"\x01\x5a") * 100,
    "half an alert": plain_record(ALERT, b"\x02"),
    "data": plain_record(DATA, b"data before the handshake"),
    "new ciphers": plain_record(CHANGE_CIPHER, b"\x01"),
    "a type that does not exist": plain_record(99, b"what?"),
    "a Finished": plain_record(HANDSHAKE, handshake_message(20, bytes(12))),
    "a HelloRequest": plain_record(HANDSHAKE, handshake_message(0, b"")) * 50,
    "a message of 16 MB": plain_record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(1000)),
    "a hello without ciphers in common": plain_record(HANDSHAKE, HELLO),
    "half a hello in a whole record": plain_record(HANDSHAKE, HELLO[:10]),
    "a hello with lengths that lie": plain_record(HANDSHAKE, HELLO[:38] + b"\xff" + HELLO[39:]),
    "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
}


def flip(peer: Hostile) -> Steps:
    record = bytearray(peer.make(DATA, b"data"))
    record[-1] ^= 1
    yield from peer.raw(bytes(record))


def cut(peer: Hostile) -> Steps:
    yield from peer.raw(peer.make(DATA, bytes(100))[:50])


def twice(peer: Hostile) -> Steps:
    yield from peer.raw(peer.make(DATA, b"data") * 2)


def swapped(peer: Hostile) -> Steps:
    first, second = peer.make(DATA, b"first"), peer.make(DATA, b"second")
    yield from peer.raw(second + first)


def says(kind: int, data: bytes, times: int = 1) -> Callable[[Hostile], Steps]:
    def say(peer: Hostile) -> Steps:
        for _ in range(times):
            yield from peer.record(kind, data)

    return say


def in_plain(data: bytes) -> Callable[[Hostile], Steps]:
    return lambda peer: peer.raw(data)


AFTER: dict[str, Callable[[Hostile], Steps]] = {
    "a record that was changed": flip,
    "a record that is cut off": cut,
    "a record again": twice,
    "records in another order": swapped,
    "a record that is too long": says(DATA, bytes((1 << 14) + 300)),
    "a header that is too long": in_plain(b"\x17\x03\x03\xff\xff" + bytes(1000)),
    "a record in plain text": in_plain(plain_record(DATA, b"data")),
    "HTTP": in_plain(BEFORE["HTTP"]),
    "a fatal alert": says(ALERT, b"\x02\x28"),
    "an alert that does not exist": says(ALERT, b"\x02\xfe"),
    "half an alert": says(ALERT, b"\x02"),
    "many warnings": says(ALERT, b"\x01\x5a", 20),
    "a Finished": says(HANDSHAKE, handshake_message(20, bytes(12))),
    "a ServerHello": says(HANDSHAKE, handshake_message(2, bytes(70))),
    "a certificate": says(HANDSHAKE, handshake_message(11, bytes(4))),
    "a message that does not exist": says(HANDSHAKE, handshake_message(77, bytes(4))),
    "a hello": says(HANDSHAKE, HELLO),
    "many hellos": says(HANDSHAKE, HELLO, 50),
    "a HelloRequest": says(HANDSHAKE, handshake_message(0, b""), 50),
    "new ciphers": says(CHANGE_CIPHER, b"\x01"),
    "a type that does not exist": says(99, b"what?"),
    "empty records": says(DATA, b"", 100),
    "an end without a close_notify": in_plain(b""),
}


def drained(sock: Any) -> Steps:
    """End sending, and receive until the end."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while (yield from awaiting(sock.recv(1 << 16))):
            pass


def still_serves(server: Server, address: Any, authority: Authority) -> Steps:
    yield from gone(server)
    with (yield from connect(*address, tls=authority.client())) as conn:
        yield from conn.sendall(b"still there?")
        assert (yield from conn.recv()) == b"still there?"
        yield from conn.finish()
    yield from gone(server)


def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """At most one line at INFO."""
    assert [record.levelname for record in caplog.records] in ([], ["INFO"])
    for record in caplog.records:
        assert record.exc_info is None
        assert "\n" not in record.getMessage()


@pytest.mark.parametrize("case", BEFORE)
def test_a_server_outlives_what_comes_instead_of_a_hello(
    authority: Authority, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address)) as sock:
            with suppress(OSError):  # the server may end first
                yield from sock.sendall(BEFORE[case])
            yield from drained(sock)
        yield from still_serves(server, address, authority)

    with at_info(caplog):
        limited(lambda: with_server(Server(echo, tls=authority.server()), test))
    quiet(caplog)
    assert caplog.records


@versions
@pytest.mark.parametrize("case", AFTER)
def test_a_server_outlives_a_hostile_client(
    authority: Authority, caplog: pytest.LogCaptureFixture, version: str, case: str
) -> None:
    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address)) as sock:
            peer = Hostile(sock, version)
            yield from peer.connect()
            yield from peer.sendall(b"hello")
            assert (yield from peer.recv()) == b"hello"
            with suppress(OSError):
                yield from AFTER[case](peer)
            yield from drained(sock)
        yield from still_serves(server, address, authority)

    with at_info(caplog):
        limited(lambda: with_server(Server(echo, tls=authority.server()), test))
    quiet(caplog)
    assert caplog.records


@pytest.mark.parametrize("case", BEFORE)
def test_a_client_outlives_what_comes_instead_of_a_handshake(authority: Authority, case: str) -> None:
    def main() -> Steps:
        ours, theirs = memory_pair()
        with TLS(ours, authority.client(), server_hostname="localhost") as client:
            shaking = newthread(client.handshake())
            yield from awaiting(theirs.sendall(BEFORE[case]))
            yield from drained(theirs)
            with pytest.raises(ssl.SSLError):
                yield from shaking.join()
            assert client.closed
        theirs.close()

    limited(main)


@versions
@pytest.mark.parametrize("case", AFTER)
def test_a_client_outlives_a_hostile_server(authority: Authority, version: str, case: str) -> None:
    def main() -> Steps:
        ours, theirs = memory_pair()
        with TLS(ours, authority.client(), server_hostname="localhost") as client:
            shaking = newthread(client.handshake())
            peer = Hostile(theirs, version)
            yield from peer.accept(authority.ours)
            yield from shaking.join()
            yield from peer.sendall(b"hello")
            assert (yield from client.recv()) == b"hello"
            yield from AFTER[case](peer)
            ended = newthread(drained, theirs)
            received = b""
            with pytest.raises(ssl.SSLError):
                while data := (yield from client.recv()):
                    received += data
            assert received in (b"", b"data")  # what came before the breach
            client.close()
            yield from ended.join()
        theirs.close()

    limited(main)


# What is allowed, but too much of it.


@versions
def test_a_hello_may_come_byte_by_byte(authority: Authority, version: str) -> None:
    def main() -> Steps:
        ours, theirs = memory_pair()
        with TLS(ours, authority.server(), server_side=True) as server:
            shaking = newthread(server.handshake())
            peer = Hostile(theirs, version, piece=1)
            yield from peer.connect()
            yield from shaking.join()
            yield from peer.sendall(b"data")
            assert (yield from stream(server).recvn(4)) == b"data"
        theirs.close()

    limited(main)


@pytest.mark.parametrize("requested", [False, True])
def test_new_keys_again_and_again(authority: Authority, requested: bool) -> None:
    """Each of them gets its answer, and data goes on in both directions."""

    def main() -> Steps:
        ours, theirs = memory_pair()
        with TLS(ours, authority.server(), server_side=True) as server:
            shaking = newthread(server.handshake())
            peer = Hostile(theirs, "TLSv1.3")
            yield from peer.connect()
            yield from shaking.join()
            for number in range(50):
                yield from peer.new_keys(requested)
                yield from peer.sendall(b"%d" % number)
                assert (yield from server.recv()) == b"%d" % number
                yield from server.sendall(b"%d" % number)
                assert (yield from peer.recv()) == b"%d" % number
        theirs.close()

    limited(main)


def test_answers_that_nobody_reads_do_not_pile_up(authority: Authority) -> None:
    """A client asks for new keys without end and never receives: the server stops receiving, too."""

    def main() -> Steps:
        ours, theirs = memory_pair(1000)
        with TLS(ours, authority.server(), server_side=True) as server:
            shaking = newthread(server.handshake())
            peer = Hostile(theirs, "TLSv1.3")
            yield from peer.connect()
            yield from shaking.join()
            receiving = newthread(server.recv())
            asked = 0

            def ask() -> Steps:
                nonlocal asked
                while True:
                    yield from peer.new_keys(True)
                    asked += 1

            asking = newthread(ask)
            before = -1
            while before != asked:
                before = asked
                assert asked < 2000, "the server keeps an answer for each of them"
                for _ in range(20):
                    yield from sleep(0)
            assert asked > 500
            for thread in (asking, receiving):
                thread.cancel()
                with pytest.raises(Cancelled):
                    yield from thread.join()
        theirs.close()

    limited(main)


@pytest.mark.parametrize("tickets", [0, 1, 100])
def test_many_tickets(authority: Authority, tickets: int) -> None:
    def main() -> Steps:
        ours, theirs = memory_pair()
        with TLS(ours, authority.client(), server_hostname="localhost") as client:
            shaking = newthread(client.handshake())
            peer = Hostile(theirs, "TLSv1.3")
            peer.settings.ticketKeys = [bytearray(32)]
            peer.settings.ticket_count = tickets
            yield from peer.accept(authority.ours)
            yield from shaking.join()
            yield from peer.sendall(b"data")
            assert (yield from client.recv()) == b"data"
            assert client.session is not None
            assert client.session.has_ticket == (tickets > 0)
        theirs.close()

    limited(main)
