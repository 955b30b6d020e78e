"""TLS with events in a scheduler with several OS threads: no byte is lost or moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2.net import tls
from socket2.net.tls import TLSSocket

from ...interop.peers import LIMIT_S, pattern
from ...tls.certificates import Authority
from ..scene import all_of, ended, port_of
from .secure_scene import client_of, server_of

CLIENTS = 8
SIZE = 100_000
BYTES = pattern(97, SIZE + CLIENTS)


def by_pipe(conn: TLSSocket) -> None:
    conn.pipe(conn)


async def by_thread(conn: TLSSocket) -> None:
    async for data in conn:
        await conn.send(data)
    conn.end()


@pytest.mark.parametrize("echo", [by_pipe, by_thread])
def test_an_echo_server_of_several_os_threads(authority: Authority, echo: Callable[[TLSSocket], Any]) -> None:
    wrong: list[Any] = []

    async def visit(number: int, port: int) -> None:
        data = BYTES[number : number + SIZE]
        client = client_of(authority, port)
        for at in range(0, SIZE, 10_000):
            client.write(data[at : at + 10_000])
        client.end()
        if await all_of(client) != data:
            wrong.append(f"client {number} got something else")
        await ended(client)

    async def visits(server: tls.Server) -> None:
        with socket2.timeout(LIMIT_S):
            for visitor in [socket2.newthread(visit, number, port_of(server)) for number in range(CLIENTS)]:
                await visitor.join()
        server.close()

    server = server_of(authority, echo, allowHalfOpen=True)
    server.on("tlsClientError", lambda error, _: wrong.append(error))
    server.on("listening", lambda: socket2.newthread(visits, server))
    server.listen(0, "127.0.0.1")
    assert socket2.serve_threads(3)
    assert wrong == []
