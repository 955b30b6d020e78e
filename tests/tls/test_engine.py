"""The engine alone: two sides in memory, whose ciphertext goes from one to the other in pieces of any size."""

from __future__ import annotations

import gc
import random
import ssl
import weakref
from collections.abc import Callable

import pytest

from socket2.tls.engine import RECORD, Engine

from ..interop.peers import beside, pattern
from .certificates import VERSIONS, Authority

versions = pytest.mark.parametrize("version", VERSIONS)


def pair(authority: Authority, version: str = "", ragged_end: bool = False) -> tuple[Engine, Engine]:
    """Return a client and a server, before the handshake."""
    client = Engine(authority.client(version), server_hostname="localhost", ragged_end=ragged_end)
    return client, Engine(authority.server(version), server_side=True, ragged_end=ragged_end)


def carry(source: Engine, sink: Engine, size: int = 1 << 30, step: Callable[[], object] = lambda: None) -> int:
    """Carry what `source` has to send in pieces of `size`, and call `step` after each. Return how many bytes it was."""
    data = source.take() if source.pending else b""
    for at in range(0, len(data), size):
        sink.feed(data[at : at + size])
        step()
    return len(data)


def shake(client: Engine, server: Engine, size: int = 1 << 30) -> None:
    for _ in range(10):
        if client.established and server.established:
            break
        client.handshake()
        carry(client, server, size, server.handshake)
        carry(server, client, size, client.handshake)
    assert client.established
    assert server.established
    carry(client, server, size)


def established(authority: Authority, version: str = "", ragged_end: bool = False) -> tuple[Engine, Engine]:
    client, server = pair(authority, version, ragged_end)
    shake(client, server)
    return client, server


def send(source: Engine, sink: Engine, data: bytes) -> None:
    assert source.encrypt(memoryview(data)) == len(data)
    carry(source, sink)


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
    send(client, server, sent)
    buffer, got = bytearray(n), bytearray()
    while size := server.receive_into(memoryview(buffer)):
        got += buffer[:size]
    assert bytes(got) == sent
    assert size is None


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


# The end.


@versions
def test_each_side_ends_alone(authority: Authority, version: str) -> None:
    client, server = established(authority, version)
    client.end()
    client.end()
    carry(client, server)
    assert server.receive(100) == server.receive(100) == b""
    assert server.receive_into(memoryview(bytearray(9))) == 0
    with pytest.raises(BrokenPipeError):
        client.encrypt(memoryview(b"more"))
    send(server, client, b"the answer")
    assert client.receive(100) == b"the answer"
    server.end()
    carry(server, client)
    assert client.receive(100) == b""
    assert not client.pending


@versions
def test_the_own_end_loses_nothing_that_has_come(authority: Authority, version: str) -> None:
    """OpenSSL would drop what it has, in whatever state."""
    for taken in (0, 1, 99, 100, 101, 20_000):
        client, server = established(authority, version)
        sent = pattern(61, 100) + pattern(62, 40_000)
        assert server.encrypt(memoryview(sent[:100])) == 100
        assert server.encrypt(memoryview(sent[100:])) == 40_000
        data = server.take()
        client.feed(data[:-10])
        got = b""
        while len(got) < taken:
            got += client.receive(taken - len(got)) or b""
        client.end()
        client.feed(data[-10:])
        while more := client.receive(1000):
            got += more
        assert got == sent
        assert more is None


def test_data_and_the_end_at_once(authority: Authority) -> None:
    client, server = established(authority)
    assert client.encrypt(memoryview(b"data")) == 4
    client.end()
    carry(client, server)
    server.feed(b"")
    assert server.receive(100) == b"data"
    assert server.receive(100) == b""


@versions
def test_an_end_without_a_close_notify_is_an_error(authority: Authority, version: str) -> None:
    client, server = established(authority, version)
    assert client.encrypt(memoryview(b"data")) == 4
    carry(client, server)
    server.feed(b"")
    assert server.receive(100) == b"data"
    for _ in range(2):
        with pytest.raises(ssl.SSLEOFError, match="close_notify"):
            server.receive(100)
    with pytest.raises(ssl.SSLEOFError):
        server.receive_into(memoryview(bytearray(9)))


@versions
def test_unless_it_is_said_that_it_is_none(authority: Authority, version: str) -> None:
    client, server = established(authority, version, ragged_end=True)
    send(client, server, b"data")
    server.feed(b"")
    assert server.receive(100) == b"data"
    assert server.receive(100) == server.receive(100) == b""
    send(server, client, b"the answer")  # the peer has only ended its half
    assert client.receive(100) == b"the answer"


@versions
def test_an_end_within_the_handshake(authority: Authority, version: str) -> None:
    client, server = pair(authority, version)
    client.handshake()
    hello = client.take()
    for cut in (0, 1, len(hello) - 1):
        server = Engine(authority.server(version), server_side=True)
        if cut:
            server.feed(hello[:cut])
            assert not server.handshake()
        server.feed(b"")
        for _ in range(2):
            with pytest.raises(ssl.SSLEOFError, match="during the TLS handshake"):
                server.handshake()
    client.feed(b"")
    with pytest.raises(ssl.SSLEOFError):
        client.handshake()


# Failures.


def test_a_wrong_name_is_not_trusted(authority: Authority) -> None:
    client = Engine(authority.client(), server_hostname="example.org")
    server = Engine(authority.server(), server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="example.org"):
        shake(client, server)
    assert client.pending  # the alert
    carry(client, server)
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        server.handshake()
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError, match="example.org"):
            client.handshake()


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"GET / HTTP/1.0\r\n\r\n", "HTTP_REQUEST"), (b"\x16\x03\x01\x00\x05junk!", ""), (bytes(99), "")],
)
def test_other_protocols_are_refused_in_openssls_words(authority: Authority, said: bytes, reason: str) -> None:
    server = Engine(authority.server(), server_side=True)
    server.feed(said)
    with pytest.raises(ssl.SSLError) as failure:
        server.handshake()
    assert failure.value.reason
    if reason:
        assert failure.value.reason == reason


@versions
def test_a_changed_record_ends_both_directions(authority: Authority, version: str) -> None:
    client, server = established(authority, version)
    assert client.encrypt(memoryview(b"data")) == 4
    data = bytearray(client.take())
    data[-1] ^= 1
    server.feed(bytes(data))
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match="(?i)mac|decryption"):
            server.receive(100)
    with pytest.raises(ssl.SSLError, match="(?i)mac|decryption"):
        server.encrypt(memoryview(b"x"))
    server.end()
    carry(server, client)  # the alert, and nothing else
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        client.receive(100)


@versions
@pytest.mark.parametrize("seed", range(40))
def test_damaged_ciphertext_is_an_error_of_ssl(authority: Authority, version: str, seed: int) -> None:
    """Whatever is changed, cut out or put in, and wherever: data is as it was sent, or there is an ssl.SSLError."""
    chance = random.Random(seed)
    client, server = pair(authority, version)
    sent = chance.randbytes(3000)
    damaged_at = chance.randrange(6000)
    carried = 0

    def damaged(data: bytes) -> bytes:
        nonlocal carried
        at = damaged_at - carried
        carried += len(data)
        if not 0 <= at < len(data):
            return data
        how = chance.randrange(3)
        junk = chance.randbytes(chance.choice([1, 5, 100]))
        return data[:at] + [bytes([data[at] ^ (1 << chance.randrange(8))]), b"", junk][how] + data[at + (how < 2) :]

    def step(engine: Engine, other: Engine) -> bool:
        """Go as far as possible. Return whether data has come."""
        received = b""
        if engine.established or engine.handshake():
            if engine is client and not begun:
                begun.append(engine.encrypt(memoryview(sent)))
            while data := engine.receive(1000):
                received += data
        if engine.pending:
            other.feed(damaged(engine.take()))
        assert sent.startswith(received)
        return received == sent

    begun: list[int] = []
    for _ in range(10):
        try:
            if step(client, server) or step(server, client):
                break
        except ssl.SSLError:
            break
    else:
        server.feed(b"")  # it waits for the rest of a record that is longer now
        with pytest.raises(ssl.SSLError):
            server.receive(1) if server.established else server.handshake()


def test_data_before_a_failure_is_received(authority: Authority) -> None:
    client, server = established(authority)
    assert client.encrypt(memoryview(b"good")) == 4
    good = client.take()
    assert client.encrypt(memoryview(b"bad")) == 3
    bad = bytearray(client.take())
    bad[-1] ^= 1
    server.feed(good + bytes(bad))
    assert server.receive(100) == b"good"
    with pytest.raises(ssl.SSLError):
        server.receive(100)


def test_an_engine_is_in_no_cycle(authority: Authority) -> None:
    client, server = established(authority)
    server.feed(bytes(100))
    with pytest.raises(ssl.SSLError):
        server.receive(100)
    refs = [weakref.ref(client.ssl_object), weakref.ref(server.ssl_object)]
    gc.collect()
    gc.disable()
    try:
        del client, server
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()
