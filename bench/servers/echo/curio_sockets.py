"""Curio: its tcp_server and sockets, as in the echo server of its own benchmarks."""

from __future__ import annotations

from contextlib import suppress

import curio
from curio.network import run_server, tcp_server_socket
from curio.socket import IPPROTO_TCP, TCP_NODELAY

from bench.servers import HOST


async def echo(client: curio.io.Socket, address: tuple[str, int]) -> None:
    client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    with suppress(ConnectionError):
        while data := await client.recv(65536):
            await client.sendall(data)


async def main() -> None:
    listener = tcp_server_socket(HOST, 0, backlog=4096)
    print("ready", listener.getsockname()[1], flush=True)
    await run_server(listener, echo)


if __name__ == "__main__":
    curio.run(main)
