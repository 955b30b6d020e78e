"""Operations of TLS for the leak test: in C and in Python, on streams that stay and on new ones, ended in every way."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

import socket2
from socket2 import TLS, Cancelled, unix
from tests.tls.certificates import Authority

Steps = Any
# One of this many rounds makes new connections, which cost more.
NEW_EVERY = 20
BIG = bytes(60_000)


def pair(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> tuple[TLS, TLS]:
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # so that a send of a record has to wait
    client = TLS(unix(fileno=one.detach()), client_context, server_hostname="localhost")
    return client, TLS(unix(fileno=other.detach()), server_context, server_side=True)


def shaken(client: TLS, server: TLS) -> Steps:
    thread = socket2.newthread(client.handshake())
    yield from server.handshake()
    yield from thread.join()


def receive(sock: TLS, size: int) -> Steps:
    while size:
        size -= len((yield from sock.recv(size)))


def given_up(op: Any, how: str) -> None:
    steps = iter(op)
    next(steps)
    if how == "close":
        steps.close()
    elif how == "throw":
        with contextlib.suppress(Cancelled):
            steps.throw(Cancelled("c"))


def talk(client: TLS, server: TLS) -> Steps:
    """Make about 20 operations."""
    receiving = socket2.newthread(server.recv(100))
    yield from client.sendall(b"x")
    yield from receiving.join()
    yield from client.sendall(bytearray(10))
    yield from server.recv_into(bytearray(10))
    with contextlib.suppress(TypeError):
        yield from client.sendall("text")  # type: ignore[arg-type]
    for how in ("close", "throw", "drop"):
        given_up(server.recv(), how)
        given_up(client.sendall(BIG[:16_000]), how)
        server.recv().close()
        with contextlib.suppress(KeyError):
            iter(client.sendall(b"x")).throw(KeyError("k"))
        reading: Any = socket2.newthread(receive(server, 16_001))
        yield from client.sendall(b"x")
        yield from reading.join()
    waiting = socket2.newthread(server.recv(1))
    yield from socket2.sleep(0)
    with contextlib.suppress(socket2.Busy):
        yield from server.recv()
    waiting.cancel()
    with contextlib.suppress(Cancelled):
        yield from waiting.join()
    server.settimeout(0)
    with contextlib.suppress(TimeoutError):
        yield from server.recv()
    server.settimeout(None)
    reading = socket2.newthread(receive(server, len(BIG)))
    yield from client.sendall(BIG)
    yield from reading.join()


def come_and_go(client: TLS, server: TLS) -> Steps:
    """One connection is ended properly, and one fails."""
    yield from shaken(client, server)
    yield from client.sendall(b"x")
    yield from server.recv()
    waiting = socket2.newthread(server.recv())
    yield from client.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    for op in (waiting.join, server.recv, lambda: server.sendall(b"x")):
        with contextlib.suppress(ssl.SSLError):
            yield from op()
    client.close()
    server.close()


def round_of_records(authority: Authority) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a function that makes about 20 operations, and one that closes what they use."""
    contexts = authority.server(), authority.client()
    client, server = pair(*contexts)
    socket2.run(shaken, client, server)
    count = 0

    def act() -> None:
        nonlocal count
        socket2.run(talk, client, server)
        count += 1
        if count % NEW_EVERY == 0:
            socket2.run(come_and_go, *pair(*contexts))

    def close() -> None:
        client.close()
        server.close()

    return act, close
