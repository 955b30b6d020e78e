"""Two connected ends of a byte stream to put TLS over: TCP, UNIX, in memory, and TLS itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import TLS, newthread, run, tcp, timeout, unix

from ..contract.driver import tcp_pair
from ..interop.peers import LIMIT_S
from ..memory import memory_pair
from .certificates import Authority

Steps = Generator[Any, Any, Any]

sockets = pytest.mark.parametrize("kind", ["tcp", "unix"])
inner = pytest.mark.parametrize("kind", ["memory", "tls"])


def ends(authority: Authority, kind: str, room: int = 1 << 16) -> tuple[Any, Any]:
    if kind == "memory":
        return memory_pair(room)
    if kind == "unix":
        one, other = socket.socketpair()
        return unix(fileno=one.detach()), unix(fileno=other.detach())
    one, other = tcp_pair()
    here, there = tcp(fileno=one.detach()), tcp(fileno=other.detach())
    for sock in (here, there):
        sock.setopt("nodelay", True)
    return (here, there) if kind == "tcp" else over(authority, here, there)


def over(authority: Authority, one: Any, other: Any, version: str = "", **options: Any) -> tuple[TLS, TLS]:
    """Return a client and a server over two ends, before the handshake."""
    client = TLS(one, authority.client(version), server_hostname="localhost", **options)
    return client, TLS(other, authority.server(version), server_side=True, **options)


def shaken(client: TLS, server: TLS) -> Steps:
    """Make the handshake of both sides."""
    thread = newthread(client.handshake())
    yield from server.handshake()
    yield from thread.join()


@contextmanager
def tls(
    authority: Authority, kind: str = "memory", version: str = "", room: int = 1 << 16, **options: Any
) -> Iterator[tuple[TLS, TLS]]:
    client, server = over(authority, *ends(authority, kind, room), version, **options)
    with client, server:
        yield client, server


def limited(main: Callable[[], Steps]) -> Any:
    """Run a main thread, for LIMIT_S at most."""

    def within() -> Steps:
        with timeout(LIMIT_S):
            return (yield from main())

    return run(within)
