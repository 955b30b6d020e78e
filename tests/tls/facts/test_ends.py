"""How connections end: well, rudely, in the middle of a handshake, or because of what is below."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import pytest

from socket2 import TLS, Closed, newthread, starttls, stream, timeout

from ...memory import memory_pair
from ..certificates import Authority
from ..ends import Steps, limited, over, shaken
from .pairs import Contexts, attempt, connected, pair


def test_both_end_well(contexts: Contexts) -> None:
    """Trio test_closing_nice_case: the end can be received again and again, and both streams below are closed."""

    def test(client: TLS, server: TLS) -> Steps:
        finishing = newthread(client.finish())
        for _ in range(3):
            assert (yield from server.recv()) == b""
        yield from server.finish()
        yield from finishing.join()
        for at in (client, server):
            assert at.closed
            assert at.sock.closed

    connected(contexts, test)


def test_an_end_before_the_handshake_is_an_error_of_the_handshake(contexts: Contexts) -> None:
    """Trio test_https_mode_eof_before_handshake, test_closing_nice_case, but the peer's receive raises."""

    def main() -> Steps:
        client, server = pair(contexts)
        with client, server:
            yield from client.finish()
            with pytest.raises(ssl.SSLEOFError, match="during the TLS handshake"):
                yield from server.recv()
            assert server.closed

    limited(main)


@pytest.mark.parametrize("ragged_end", [False, True])
def test_a_rude_end(contexts: Contexts, ragged_end: bool) -> None:
    """CPython test_rude_shutdown; trio test_ssl_bad_shutdown, test_ssl_bad_shutdown_but_its_ok.

    Trio test_ssl_https_compatibility_disagreement.
    """

    def test(client: TLS, server: TLS) -> Steps:
        yield from server.sendall(b"data")
        server.close()
        assert (yield from client.recv()) == b"data"
        if ragged_end:
            assert (yield from client.recv()) == b""
        else:
            with pytest.raises(ssl.SSLEOFError, match="close_notify"):
                yield from client.recv()
        with pytest.raises(OSError):  # noqa: PT011  # the stream below says why
            yield from client.sendall(b"more")

    connected(contexts, test, ragged_end=ragged_end)


def test_tls_can_be_left_and_begun_again_by_a_new_layer(authority: Authority) -> None:
    """CPython test_starttls, SSLObjectTests.test_unwrap; trio test_unwrap: close_notify both ways, then plain bytes.

    This library offers no way back to plain bytes: only TLS inside TLS can end and leave the outer one in use.
    """

    def main() -> Steps:
        one, other = memory_pair()
        outer = over(authority, one, other)
        with outer[0], outer[1]:
            yield from shaken(*outer)
            starting = newthread(starttls(outer[0], authority.client(), server_hostname="localhost"))
            inner = yield from starttls(outer[1], authority.server(), server_side=True)
            ours = yield from starting.join()
            ours.shutdown()
            assert (yield from inner.recv()) == b""
            yield from inner.sendall(b"after the end of the other direction")
            assert (yield from ours.recv()) == b"after the end of the other direction"

    limited(main)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_silent_peer_is_not_waited_for_too_long(contexts: Contexts, who: str) -> None:
    """CPython test_handshake_timeout."""

    def main() -> Steps:
        client, server = pair(contexts)
        with client, server:
            at = client if who == "client" else server
            at.settimeout(0.001)
            with pytest.raises(TimeoutError):
                yield from at.recv()
            assert at.closed

    limited(main)


def test_a_receive_that_times_out_can_be_repeated(contexts: Contexts) -> None:
    """CPython BasicSocketTests.test_timeout, test_nonblocking_send."""

    def test(client: TLS, server: TLS) -> Steps:
        for _ in range(3):
            with pytest.raises(TimeoutError), timeout(0):
                yield from client.recv()
        yield from server.sendall(b"data")
        assert (yield from client.recv()) == b"data"

    connected(contexts, test)


# What is below fails.


class Failing:
    """A stream below whose receives or sends fail from now on, if told so."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.fails = ""
        self.closes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def recv(self, n: int) -> Steps:
        if self.fails == "recv":
            raise OSError(errno.EIO, "the stream below is broken")
        return (yield from self._stream.recv(n))

    async def sendall(self, data: Any) -> None:
        if self.fails == "sendall":
            raise OSError(errno.EIO, "the stream below is broken")
        await self._stream.sendall(data)

    def close(self) -> None:
        self.closes += 1
        self._stream.close()


def failing(contexts: Contexts) -> tuple[Failing, TLS, TLS]:
    one, other = memory_pair()
    below = Failing(one)
    return below, TLS(below, contexts[0], server_hostname="localhost"), TLS(other, contexts[1], server_side=True)


@pytest.mark.parametrize("fails", ["recv", "sendall"])
def test_an_error_below_ends_the_handshake(contexts: Contexts, fails: str) -> None:
    """Trio test_send_error_during_handshake, test_receive_error_during_handshake."""

    def main() -> Steps:
        below, client, server = failing(contexts)
        below.fails = fails
        with client, server:
            shaking = newthread(attempt(server.handshake()))
            with pytest.raises(OSError, match="the stream below is broken"):
                yield from client.handshake()
            assert client.closed
            assert below.closes == 1
            with pytest.raises(Closed):
                yield from client.handshake()
            assert (yield from shaking.join()) is not None

    limited(main)


def test_an_error_below_during_a_send_comes_through_and_the_records_are_kept(contexts: Contexts) -> None:
    """Trio test_send_all_fails_in_the_middle: here the stream is usable if the one below is."""

    def main() -> Steps:
        below, client, server = failing(contexts)
        with client, server:
            yield from shaken(client, server)
            below.fails = "sendall"
            with pytest.raises(OSError, match="the stream below is broken") as failure:
                yield from client.sendall(b"first")
            assert failure.value.bytes_sent == 5  # type: ignore[attr-defined]
            below.fails = ""
            yield from client.sendall(b"second")
            assert (yield from stream(server).recvn(11)) == b"firstsecond"

    limited(main)


def test_an_error_below_during_a_receive_comes_through(contexts: Contexts) -> None:
    """Trio test_receive_error_during_handshake, after the handshake."""

    def main() -> Steps:
        below, client, server = failing(contexts)
        with client, server:
            yield from shaken(client, server)
            below.fails = "recv"
            with pytest.raises(OSError, match="the stream below is broken"):
                yield from client.recv()
            below.fails = ""
            yield from server.sendall(b"data")
            assert (yield from client.recv()) == b"data"

    limited(main)


@pytest.mark.parametrize("how", ["close", "finish"])
def test_what_is_below_is_closed_once(contexts: Contexts, how: str) -> None:
    """Trio test_ssl_only_closes_stream_once."""

    def main() -> Steps:
        below, client, server = failing(contexts)
        with server:
            yield from shaken(client, server)
            below.fails = "sendall"
            if how == "close":
                client.close()
            else:
                yield from client.finish()
            assert below.closes == 1

    limited(main)


# Bytes that come before TLS.


@pytest.mark.parametrize("who", ["server", "client"])
@pytest.mark.parametrize(
    "said",
    [
        b"DELETE /data HTTP/1.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\0" * 100,
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\xff\xff",
    ],
    ids=["request", "answer", "zeros", "ssh", "too long"],
)
def test_plain_bytes_are_never_taken_for_data(contexts: Contexts, who: str, said: bytes) -> None:
    """CPython test_preauth_data_to_tls_server, test_preauth_data_to_tls_client.

    CPython test_https_client_non_tls_response_ignored: also if the peer ends at once.
    """

    def main() -> Steps:
        ours, theirs = memory_pair()
        if who == "server":
            at = TLS(ours, contexts[1], server_side=True)
        else:
            at = TLS(ours, contexts[0], server_hostname="localhost")
        with at:
            yield from newthread(theirs.sendall(said)).join()
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(ssl.SSLError):
                yield from at.recv()
            assert at.closed
            theirs.close()

    limited(main)
