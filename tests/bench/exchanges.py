"""A client that finds out whether an echo server is one that may be measured."""

from __future__ import annotations

import socket
import threading

from bench.contender import Contender
from bench.measure import serving
from bench.programs import BenchError
from tests.interop.peers import LIMIT_S, pattern

LARGE_BYTES = 4 << 20


# rloop 0.5 keeps a connection open whose peer has ended its half.
KEEP_HALF_OPEN = {"rloop-protocol"}


def examine(row: Contender) -> None:
    """Start a server. It must echo a small message, one that fills all buffers, and survive a reset."""
    with serving(row, None) as (program, port):
        with _client(port) as first:
            _reset(port)
            _exchange(first, b"hello")
            _exchange(first, pattern(1, LARGE_BYTES))
            first.shutdown(socket.SHUT_WR)
            if row.name not in KEEP_HALF_OPEN:
                assert first.recv(1) == b""
        with _client(port) as second:
            _exchange(second, b"again")
        try:
            said = program.expect("", 0.0)
        except BenchError:
            return
        raise AssertionError(f"said more than ready: {said!r}")


def _client(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _reset(port: int) -> None:
    with _client(port) as client:
        _exchange(client, b"x")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _exchange(client: socket.socket, data: bytes) -> None:
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    received = bytearray()
    while len(received) < len(data):
        more = client.recv(65536)
        assert more, "the server has closed the connection"
        received += more
    sender.join()
    assert received == data
