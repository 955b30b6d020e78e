"""The engine alone: two sides in memory, whose ciphertext goes from one to the other in pieces of any size."""

from __future__ import annotations

from typing import Any

import pytest

from socket2.tls.carrier import BLOCK, ROOM
from socket2.tls.ciphertext import RECORD
from socket2.tls.engine import Engine

from ..interop.peers import beside, pattern
from .certificates import Authority, versions
from .engines import carry, established, pair, send, shake


@versions
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000, RECORD, 1 << 30])
def test_ciphertext_may_come_in_pieces_of_any_size(authority: Authority, version: str, size: int) -> None:
    client, server = pair(authority, version)
    shake(client, server, size)
    assert client.ssl_object.version() == server.ssl_object.version() == version
    for source, sink in ((client, server), (server, client)):
        received = bytearray()

        def take(sink: Engine = sink, received: bytearray = received) -> None:
            while (data := sink.receive(100)) is not None:
                received += data

        assert source.encrypt(memoryview(b"what was sent" * 20)) == 260
        carry(source, sink, size, take)
        assert received == b"what was sent" * 20
        assert sink.receive(1) is None


class Counted:
    """An SSLSocket of the `_ssl` module that counts the attempts to make the handshake."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.attempts = 0

    def do_handshake(self) -> None:
        self.attempts += 1
        self.real.do_handshake()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@versions
def test_a_server_makes_an_attempt_for_each_flight_of_the_client(authority: Authority, version: str) -> None:
    client, server = pair(authority, version)
    counted = server._ssl = Counted(server._ssl)
    assert not server.handshake()
    assert counted.attempts == 0
    shake(client, server)
    assert counted.attempts == 2
    assert server.handshake()


@versions
def test_ciphertext_may_be_cut_at_every_byte(authority: Authority, version: str) -> None:
    """The engine says that it needs more, however much of a record it has, and takes nothing twice."""
    client, server = established(authority, version)
    assert client.encrypt(memoryview(b"a record")) == 8
    size = len(client.take())
    client, server = established(authority, version)
    for cut in range(1, size):
        assert client.encrypt(memoryview(b"a record")) == 8
        data = client.take()
        assert len(data) == size
        server.feed(data[:cut])
        assert server.receive(100) is None
        server.feed(data[cut:])
        assert server.receive(100) == b"a record"
        assert server.receive(100) is None


@versions
def test_a_block_of_whole_records_is_decrypted_without_a_failed_attempt(
    authority: Authority, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = established(authority, version)
    assert server.receive(1) is None
    sent = pattern(70, BLOCK)
    records = client.seal(sent)
    assert client.sealed == BLOCK
    assert len(records) <= ROOM
    monkeypatch.setattr(Engine, "_read_failed", lambda *_: pytest.fail("OpenSSL had a part of a record"))
    assert server.open(records, BLOCK) == sent
    assert server.hungry


@versions
@pytest.mark.parametrize("n", [1, 100, RECORD - 1, RECORD, RECORD + 1, 1 << 16, 1 << 20])
def test_many_records_are_received_in_any_amounts(authority: Authority, version: str, n: int) -> None:
    client, server = established(authority, version)
    sent = pattern(60, 50_000 if n == 1 else 200_000)
    send(client, server, sent)
    pieces = []
    while data := server.receive(n):
        assert len(data) <= n
        pieces.append(data)
    assert b"".join(pieces) == sent
    if n >= len(sent):
        assert len(pieces) == 1  # as much as there is
    assert data is None


def test_small_buffers_of_openssl_stay_small(authority: Authority) -> None:
    """OpenSSL's buffers keep the most that they had, for an idle connection, too."""
    client, server = established(authority)
    send(client, server, bytes(1 << 20))
    assert server.receive(10) == bytes(10)
    assert server._incoming.pending <= RECORD


def test_a_servers_tickets_wait_for_its_first_data(authority: Authority) -> None:
    """A client that never reads would answer them with a reset when it closes, and lose what it has sent."""
    client, server = pair(authority, "TLSv1.3")
    client.handshake()
    carry(client, server)
    server.handshake()
    carry(server, client)
    assert client.handshake()
    carry(client, server)
    assert server.handshake()
    assert not server.pending
    send(client, server, b"no answer")
    assert server.receive(100) == b"no answer"
    assert not server.pending
    assert server.encrypt(memoryview(b"data")) == 4
    assert server.pending
    assert carry(server, client) > 100  # the tickets, too
    assert client.receive(100) == b"data"
    assert client.ssl_object.session is not None
    assert client.ssl_object.session.has_ticket


@versions
def test_a_session_is_resumed(authority: Authority, version: str) -> None:
    clients, servers = authority.client(version), authority.server(version)
    session = None
    for resumed in (False, True):
        client = Engine(clients, server_hostname="localhost", session=session)
        server = Engine(servers, server_side=True)
        shake(client, server)
        send(server, client, b"data")
        assert client.receive(100) == b"data"
        assert client.ssl_object.session_reused is server.ssl_object.session_reused is resumed
        session = client.ssl_object.session


@versions
def test_one_os_thread_sends_while_another_receives(authority: Authority, version: str) -> None:
    """OpenSSL's objects do not allow that: without a lock the process ends."""
    client, server = established(authority, version)
    sent = pattern(67, 4_000_000)
    assert server.encrypt(memoryview(sent)) == len(sent)
    incoming, outgoing = server.take(), []

    def send() -> None:
        for at in range(0, len(sent), 10_000):
            with memoryview(sent)[at : at + 10_000] as piece:
                assert client.encrypt(piece) == len(piece)
            outgoing.append(client.take())

    with beside(send):
        received = bytearray()
        for at in range(0, len(incoming), 10_000):
            client.feed(incoming[at : at + 10_000])
            while data := client.receive(5000):
                received += data
    assert received == sent
    server.feed(b"".join(outgoing))
    assert server.receive(len(sent)) == sent
