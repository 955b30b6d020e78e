"""A TLS stream whose operations are cancelled, whose handshake fails or takes too long, and how it ends."""

from __future__ import annotations

import socket
import ssl
import weakref
from typing import Any

import pytest

from socket2 import TLS, Cancelled, Closed, Thread, newthread, run, sleep, timeout

from ..garbage import without_collector
from ..interop.peers import pattern
from .certificates import Authority, versions
from .ends import Steps, ends, over, shaken, sockets, tls


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
                    receiving: Thread[Any] = newthread(server.recv_into(buffer) if into else server.recv(30))
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
    with without_collector():
        del client, server
        assert [ref() for ref in refs] == [None, None]
