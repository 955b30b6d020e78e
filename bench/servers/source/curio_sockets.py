"""Curio: its tcp_server and sendall."""

from __future__ import annotations

import curio
from curio.network import run_server, tcp_server_socket
from curio.socket import IPPROTO_TCP, TCP_NODELAY

from bench.servers import HOST
from bench.servers.source import BLOCK


async def source(client: curio.io.Socket, address: tuple[str, int]) -> None:
    client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    for _ in range(int.from_bytes(await client.recv(8))):
        await client.sendall(BLOCK)


async def main() -> None:
    listener = tcp_server_socket(HOST, 0, backlog=4096)
    print("ready", listener.getsockname()[1], flush=True)
    await run_server(listener, source)


if __name__ == "__main__":
    curio.run(main)
