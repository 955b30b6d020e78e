"""TLS as a byte stream, over every kind of byte stream and of poller."""

from __future__ import annotations

import ssl

import pytest

from socket2 import TLS, Busy, Closed, Stream, newthread, run, sleep, stream, timeout
from socket2.threads.scheduler import Scheduler, local

from ..handclock import KINDS as CLOCKS
from ..handclock import HandClock
from ..interop.peers import pattern
from .certificates import Authority, versions
from .ends import Steps, ends, inner, over, shaken, sockets, tls


@sockets
@versions
def test_much_in_both_directions_at_once(any_poller: None, authority: Authority, kind: str, version: str) -> None:
    data = pattern(63, 400_000)
    with tls(authority, kind, version) as both:

        def send(at: TLS) -> Steps:
            yield from at.sendall(data)
            at.shutdown()

        def receive(at: TLS) -> Steps:
            received = bytearray()
            while piece := (yield from at.recv()):
                received += piece
            assert received == data

        def main() -> Steps:
            with timeout(20):
                threads = [newthread(func, at) for at in both for func in (send, receive)]
                for thread in threads:
                    yield from thread.join()

        run(main)
        assert [at.version for at in both] == [version, version]


@sockets
def test_lines_and_the_rest_of_a_stream(any_poller: None, authority: Authority, kind: str) -> None:
    with tls(authority, kind) as (client, server):

        def serve() -> Steps:
            lines = stream(server)
            while (line := (yield from lines.recvline())) is not None:
                yield from lines.sendv([line[::-1], b"\n"])
            yield from lines.finish()

        def main() -> Steps:
            thread = newthread(serve)
            lines: Stream = stream(client)
            with timeout(20):
                yield from lines.sendall(b"a line\nexact")
                assert (yield from lines.recvline()) == b"enil a"
                yield from lines.sendall(b"ly\n")
                assert (yield from lines.recvn(3)) == b"ylt"
                buffer = bytearray(4)
                assert (yield from lines.recv_into(buffer)) == 4
                assert buffer == b"caxe"
                lines.shutdown()
                assert (yield from lines.recvall()) == b"\n"
                yield from thread.join()
            assert server.closed

        run(main)


def test_nothing_is_sent_for_no_data(authority: Authority) -> None:
    with tls(authority, "tcp") as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            for nothing in (b"", bytearray(), memoryview(b"")):
                yield from client.sendall(nothing)
            assert not client._owes
            with pytest.raises(TimeoutError), timeout(0):
                yield from server.sock.recv(1)
            yield from client.sendall(b"x")
            assert (yield from server.recv(0)) == b""
            assert (yield from server.recv()) == b"x"

        run(main)


def test_what_it_says_of_itself(authority: Authority) -> None:
    with tls(authority, "tcp") as (client, server):
        assert (client.version, client.cipher, client.peer_certificate, client.session) == (None,) * 4

        def main() -> Steps:
            yield from shaken(client, server)
            assert client.version == server.version == "TLSv1.3"
            assert client.cipher == server.cipher
            assert client.cipher
            assert client.peer_certificate
            assert ("DNS", "localhost") in client.peer_certificate["subjectAltName"]
            assert server.peer_certificate is None
            assert client.server_name == server.server_name == "localhost"
            assert not client.resumed
            assert client.remote_address == server.local_address
            assert client.fileno() == client.sock.fileno() >= 0
            assert "TLSv1.3" in repr(client)

        run(main)
    assert client.closed
    assert client.fileno() == -1
    assert "closed" in repr(client)


def test_only_byte_streams_and_contexts_are_taken(authority: Authority) -> None:
    one, other = ends(authority, "memory")
    with pytest.raises(TypeError, match="SSLContext"):
        TLS(one, True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="byte stream"):
        TLS(object(), authority.client())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="server_hostname"):
        TLS(one, authority.client())
    del other


# Over memory, and over another TLS.


@inner
@versions
def test_over_other_byte_streams(authority: Authority, kind: str, version: str) -> None:
    data = pattern(66, 100_000)
    with tls(authority, kind, version) as (client, server):

        def serve() -> Steps:
            assert (yield from server.recv(4)) == b"data"
            yield from server.sendall(data)
            yield from server.finish()

        def main() -> Steps:
            thread = newthread(serve)
            yield from client.sendall(b"data")
            assert (yield from stream(client).recvall()) == data
            yield from client.finish()
            yield from thread.join()
            for at in (client, server):
                with pytest.raises(Closed):
                    yield from at.recv()

        run(main)


# Who may do what, and for how long.


def test_one_thread_for_each_direction(authority: Authority) -> None:
    with tls(authority, room=10_000) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            receiving = newthread(client.recv(), name="the first")
            with pytest.raises(Busy, match="the first"):
                yield from client.recv()
            sending = newthread(client.sendall(bytes(50_000)), name="the second")
            with pytest.raises(Busy, match="the second"):
                yield from client.sendall(b"x")
            with pytest.raises(Busy):
                client.shutdown()
            with pytest.raises(Busy):
                yield from client.finish()
            yield from server.sendall(b"x")
            assert (yield from receiving.join()) == b"x"
            received = 0
            while received < 50_000:
                received += len((yield from server.recv()))
            yield from sending.join()

        run(main)


def test_both_directions_may_begin_with_the_handshake(any_poller: None, authority: Authority) -> None:
    with tls(authority, "tcp") as (client, server):

        def main() -> Steps:
            receiving = [newthread(at.recv()) for at in (client, server)]
            sending = [newthread(at.sendall(b"data")) for at in (client, server)]
            for receiver in receiving:
                assert (yield from receiver.join()) == b"data"
            for sender in sending:
                yield from sender.join()

        run(main)


@sockets
def test_close_ends_what_waits(any_poller: None, authority: Authority, kind: str) -> None:
    with tls(authority, kind) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            threads = [newthread(client.recv()), newthread(client.sendall(bytes(10_000_000)))]
            yield from sleep(0)
            client.close()
            client.close()
            for thread in threads:
                with pytest.raises(Closed):
                    yield from thread.join()
            for op in (client.recv(), client.recv_into(bytearray(1)), client.sendall(b"x")):
                with pytest.raises(Closed):
                    yield from op
            with pytest.raises(Closed):
                client.shutdown()
            with pytest.raises((ssl.SSLEOFError, ConnectionError)):
                while True:
                    yield from server.recv()

        run(main)


@pytest.mark.parametrize("clock", CLOCKS)
def test_timeouts_are_for_whole_operations(authority: Authority, clock: str) -> None:
    """They move up from the stream below, which keeps none, and end exactly on time."""
    hand: HandClock = CLOCKS[clock]()
    local.scheduler = Scheduler(hand)
    one, other = ends(authority, "memory", 10)
    one.settimeout(5)
    client, server = over(authority, one, other)
    with client, server:

        def main() -> Steps:
            assert client.gettimeout() == client.gettimeout("write") == 5
            assert one.gettimeout() is one.gettimeout("write") is None
            client.settimeout(None)
            yield from shaken(client, server)
            client.settimeout(5, "read")
            began = hand.time_s
            with pytest.raises(TimeoutError):
                yield from client.recv()
            assert hand.time_s == pytest.approx(began + 5)
            client.settimeout(3, "write")
            with pytest.raises(TimeoutError) as failure:
                yield from client.sendall(b"more than there is room for")
            assert hand.time_s == pytest.approx(began + 8)
            assert failure.value.bytes_sent == 27  # type: ignore[attr-defined]
            client.settimeout(None)
            receiving = newthread(stream(server).recvn(28))
            yield from client.sendall(b"!")
            assert (yield from receiving.join()) == b"more than there is room for!"

        run(main)
