"""Two engines in memory, and what carries ciphertext from one to the other."""

from __future__ import annotations

from collections.abc import Callable

from socket2.tls.engine import Engine

from .certificates import Authority


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
