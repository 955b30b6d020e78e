"""The tests of streams, with TLS below instead of TCP and a blocking ssl.SSLSocket at the other end."""

from __future__ import annotations

import inspect
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import socket2
from socket2 import TLS, Stream, sleep, stream, tcp, timeout
from socket2.threads.scheduler import local

from ..contract.driver import tcp_pair
from ..interop.peers import LIMIT_S, beside
from ..streams import test_stream, test_stream_pieces, test_stream_sending
from .certificates import VERSIONS, Authority
from .ends import Steps

OTHERS = {
    "test_sendv_joins_small_pieces",  # counts the sends of the TCP socket
}

EACH_POLLER = {
    "test_recv_gives_what_is_there",
    "test_recv_into_that_is_given_up_takes_nothing",
    "test_one_thread_receives_while_another_sends",
    "test_close_wakes_who_waits_and_drops_the_buffer",
    "test_finish_does_not_wait_for_ever",
}
"""These also run over every kind of poller."""


class Peer:
    """An ssl.SSLSocket whose shutdown() sends a close_notify, as that of a socket sends the end."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, n: int) -> bytes:
        try:
            return self._sock.recv(n)
        except ssl.SSLWantReadError as error:
            raise BlockingIOError from error

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        self._sock.settimeout(0)
        with suppress(ssl.SSLWantReadError):  # the other end comes later
            self._sock.unwrap()
        self._sock.settimeout(LIMIT_S)


def settled() -> Steps:
    """Wait for the threads that send answers and a close_notify."""
    assert local.scheduler is not None
    with timeout(LIMIT_S):
        while len(local.scheduler.threads) > 1:
            yield from sleep(0)


@contextmanager
def connected(authority: Authority, version: str) -> Iterator[tuple[Stream, Any]]:
    one, other = tcp_pair()
    other.settimeout(LIMIT_S)
    conn = TLS(tcp(fileno=one.detach()), authority.server(version), server_side=True)
    peer = authority.client(version).wrap_socket(other, server_hostname="localhost", do_handshake_on_connect=False)
    with conn, peer:
        with beside(peer.do_handshake):
            socket2.run(conn.handshake)
        yield stream(conn), Peer(peer)
        conn.close()
        socket2.run(settled)


@pytest.fixture(params=VERSIONS)
def pair(request: pytest.FixtureRequest, authority: Authority) -> Iterator[tuple[Stream, Any]]:
    with connected(authority, request.param) as both:
        yield both


@pytest.fixture
def pair_of_any_poller(any_poller: None, authority: Authority) -> Iterator[tuple[Stream, Any]]:
    with connected(authority, "TLSv1.3") as both:
        yield both


for module in (test_stream, test_stream_pieces, test_stream_sending):
    for name, test in vars(module).items():
        if (
            inspect.isfunction(test)
            and name.startswith("test_")
            and "pair" in inspect.signature(test).parameters
            and name not in OTHERS
        ):
            globals()[name] = test


@pytest.mark.parametrize("name", sorted(EACH_POLLER))
def test_over_every_kind_of_poller(pair_of_any_poller: tuple[Stream, Any], name: str) -> None:
    globals()[name](pair_of_any_poller)
