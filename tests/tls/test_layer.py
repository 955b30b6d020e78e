"""TLS as a byte stream, over every kind of byte stream and of poller."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import TLS, Busy, Cancelled, Closed, Stream, newthread, run, sleep, stream, timeout
from socket2.threads.scheduler import Scheduler, local

from ..handclock import KINDS as CLOCKS
from ..handclock import HandClock
from ..interop.peers import pattern
from .certificates import VERSIONS, Authority
from .ends import Steps, ends, over, shaken

versions = pytest.mark.parametrize("version", VERSIONS)
sockets = pytest.mark.parametrize("kind", ["tcp", "unix"])
inner = pytest.mark.parametrize("kind", ["memory", "tls"])


@contextmanager
def tls(
    authority: Authority, kind: str = "memory", version: str = "", room: int = 1 << 16, **options: Any
) -> Iterator[tuple[TLS, TLS]]:
    client, server = over(authority, *ends(authority, kind, room), version, **options)
    with client, server:
        yield client, server


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
            for thread in receiving:
                assert (yield from thread.join()) == b"data"
            for thread in sending:
                yield from thread.join()

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


# Cancellations.


def turns(n: int) -> Steps:
    for _ in range(n):
        yield from sleep(0)


@versions
def test_a_receive_that_is_cancelled_at_any_wait_loses_nothing(authority: Authority, version: str) -> None:
    """There is room for a byte only, so each of them is waited for."""
    sent = pattern(64, 100)
    with tls(authority, version=version, room=1) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            for into in (False, True):
                sending = newthread(client.sendall(sent))
                received, cancelled, wait = b"", 0, 0
                while len(received) < len(sent):
                    buffer = bytearray(30)
                    receiving = newthread(server.recv_into(buffer) if into else server.recv(30))
                    yield from turns(wait % 7)
                    receiving.cancel()
                    wait += 1
                    try:
                        got = yield from receiving.join()
                    except Cancelled:
                        assert buffer == bytes(30)
                        cancelled += 1
                    else:
                        received += bytes(buffer[:got]) if into else got
                assert received == sent
                assert cancelled > 10
                yield from sending.join()

        run(main)


@versions
@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_send_that_ends_at_any_wait_can_go_on(authority: Authority, version: str, end: str) -> None:
    sent = pattern(65, 200_000)
    with tls(authority, version=version, room=3000) as (client, server):

        def receive() -> Steps:
            received = bytearray()
            while data := (yield from server.recv(1000)):
                received += data
                yield from sleep(0)
            return bytes(received)

        def main() -> Steps:
            yield from shaken(client, server)
            receiving = newthread(receive)
            done = given_up = 0
            while done < len(sent):
                piece = sent[done : done + 90_000]
                sending = newthread(client.sendall(piece))
                if end == "timeout":
                    client.settimeout(0, "write")
                    yield from turns(given_up % 50 * (client.gettimeout() is None))
                else:
                    yield from turns(given_up % 50)
                    sending.cancel()
                try:
                    yield from sending.join()
                except (Cancelled, TimeoutError) as error:
                    done += error.bytes_sent  # type: ignore[union-attr]
                    given_up += 1
                else:
                    done += len(piece)
            client.settimeout(None)
            client.shutdown()
            assert (yield from receiving.join()) == sent
            if end == "cancel":
                assert given_up > 10

        run(main)


@versions
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_handshake_that_is_cancelled_at_any_wait_closes(authority: Authority, version: str, who: str) -> None:
    """With room for a few bytes there are hundreds of waits."""

    def attempt(wait: int) -> Steps:
        with tls(authority, version=version, room=40) as (client, server):
            ours, theirs = (client, server) if who == "client" else (server, client)
            handshakes = [newthread(ours.handshake()), newthread(theirs.handshake())]
            waiting = newthread(ours.recv())
            yield from turns(wait)
            handshakes[0].cancel()
            try:
                yield from handshakes[0].join()
            except Cancelled:
                assert ours.closed
                try:
                    yield from handshakes[1].join()  # it was complete on that side, if the peer's turn was last
                except OSError:
                    assert theirs.closed
                with pytest.raises(Closed):
                    yield from waiting.join()
                return True
            waiting.cancel()
            with pytest.raises(Cancelled):
                yield from waiting.join()
            handshakes[1].cancel()
            try:
                yield from handshakes[1].join()
            except Cancelled:
                pass
            return False

    def main() -> Steps:
        wait = 0
        while (yield from attempt(wait)):
            wait += 1 + wait // 10
        assert wait > 20

    run(main)


def test_a_handshake_has_a_limit_of_its_own(any_poller: None, authority: Authority) -> None:
    with tls(authority, "tcp", handshake_s=0.01) as (client, _):

        def main() -> Steps:
            with pytest.raises(TimeoutError, match="handshake took longer than 0.01 s"):
                yield from client.recv()
            assert client.closed

        run(main)


def test_a_handshake_that_fails_closes_and_sends_the_alert(any_poller: None, authority: Authority) -> None:
    one, other = ends(authority, "tcp")
    client = TLS(one, authority.client(), server_hostname="example.org")
    server = TLS(other, authority.server(), server_side=True)
    with client, server:

        def main() -> Steps:
            shaking = newthread(client.handshake())
            with pytest.raises(ssl.SSLError, match="(?i)alert"):
                yield from server.recv()
            with pytest.raises(ssl.SSLCertVerificationError) as failure:
                yield from shaking.join()
            assert failure.value.socket_fd >= 0  # type: ignore[attr-defined]
            assert client.closed
            assert server.closed
            with pytest.raises(Closed):
                yield from client.handshake()

        run(main)


# The end.


@sockets
@versions
def test_half_close(any_poller: None, authority: Authority, kind: str, version: str) -> None:
    with tls(authority, kind, version) as (client, server):

        def main() -> Steps:
            with pytest.raises(OSError, match="handshake"):
                client.shutdown()
            yield from shaken(client, server)
            yield from client.sendall(b"question")
            client.shutdown()
            client.shutdown()
            assert (yield from server.recv()) == b"question"
            assert (yield from server.recv()) == b""
            with pytest.raises(BrokenPipeError):
                yield from client.sendall(b"more")
            yield from server.sendall(b"answer")
            yield from server.finish(0)
            assert (yield from client.recv()) == b"answer"
            assert (yield from client.recv()) == b""
            assert (yield from client.recv_into(bytearray(1))) == 0

        run(main)


def test_the_end_waits_for_room_in_a_thread_of_its_own(authority: Authority) -> None:
    with tls(authority, room=100) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            with pytest.raises(TimeoutError), timeout(0):
                yield from client.sendall(bytes(1000))
            client.shutdown()
            received = 0
            while data := (yield from server.recv()):
                received += len(data)
            assert received == 1000

        run(main)


@sockets
@pytest.mark.parametrize("ragged_end", [False, True])
def test_an_end_that_is_cut_off(any_poller: None, authority: Authority, kind: str, ragged_end: bool) -> None:
    with tls(authority, kind, ragged_end=ragged_end) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            yield from client.sendall(b"data")
            client.close()
            assert (yield from server.recv()) == b"data"
            if ragged_end:
                assert (yield from server.recv()) == b""
                return
            for _ in range(2):
                with pytest.raises(ssl.SSLEOFError) as failure:
                    yield from server.recv()
                assert failure.value.socket_fd == server.fileno()  # type: ignore[attr-defined]

        run(main)


def test_finish_waits_no_longer_than_its_grace(any_poller: None, authority: Authority) -> None:
    with tls(authority, "tcp") as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            yield from client.sendall(b"data")
            yield from client.finish(0.01)  # the peer says nothing
            assert client.closed
            assert (yield from server.recv()) == b"data"
            assert (yield from server.recv()) == b""

        run(main)


def test_shutdown_of_the_receiving_side(authority: Authority) -> None:
    with tls(authority, "tcp") as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            client.shutdown(socket.SHUT_RDWR)
            assert (yield from client.recv()) == b""
            assert (yield from server.recv()) == b""
            with pytest.raises(ValueError, match="how"):
                client.shutdown(9)

        run(main)


def test_no_one_is_starved(authority: Authority) -> None:
    """A thread that never has to wait lets others run."""
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            yield from client.sendall(bytes(1000))
            other = newthread(turns(1))
            for _ in range(1000):
                assert (yield from server.recv(1)) == b"\0"
            assert other.done

        run(main)


def test_a_stream_is_in_no_cycle(authority: Authority) -> None:
    client, server = over(authority, *ends(authority, "tcp"))

    def main(client: TLS, server: TLS) -> Steps:
        yield from shaken(client, server)
        yield from client.sendall(b"data")
        client.close()
        yield from server.recv()
        with pytest.raises(ssl.SSLEOFError):
            yield from server.recv()
        server.close()

    run(main, client, server)
    refs = [weakref.ref(client), weakref.ref(server)]
    gc.collect()
    gc.disable()
    try:
        del client, server
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()
