"""Curio: its tcp_server and recv_into."""

from __future__ import annotations

import curio
from curio.network import run_server, tcp_server_socket
from curio.socket import IPPROTO_TCP, TCP_NODELAY

from bench.servers import HOST


async def sink(client: curio.io.Socket, address: tuple[str, int]) -> None:
    client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    buffer = bytearray(262144)
    while await client.recv_into(buffer):
        pass


async def main() -> None:
    listener = tcp_server_socket(HOST, 0, backlog=4096)
    print("ready", listener.getsockname()[1], flush=True)
    await run_server(listener, sink)


if __name__ == "__main__":
    curio.run(main)
