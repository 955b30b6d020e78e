"""How the engine ends: a close_notify, an end that is cut off, and every kind of failure."""

from __future__ import annotations

import random
import ssl
import weakref

import pytest

from socket2.tls.engine import Engine

from ..garbage import without_collector
from ..interop.peers import pattern
from .certificates import Authority, versions
from .engines import carry, established, pair, send, shake


@versions
def test_each_side_ends_alone(authority: Authority, version: str) -> None:
    client, server = established(authority, version)
    client.end()
    client.end()
    carry(client, server)
    assert server.receive(100) == server.receive(100) == b""
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
        with pytest.raises(ssl.SSLError, match="(?i)mac|decryption|record layer"):
            server.receive(100)
    with pytest.raises(ssl.SSLError, match="(?i)mac|decryption|record layer"):
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
    with without_collector():
        del client, server
        assert [ref() for ref in refs] == [None, None]
