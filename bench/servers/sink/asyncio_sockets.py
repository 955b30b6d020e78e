"""asyncio, sockets: loop.sock_recv_into, a task for each connection."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from bench.servers import HOST


async def sink(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    buffer = bytearray(262144)
    with connection, suppress(ConnectionError):
        while await loop.sock_recv_into(connection, buffer):
            pass


async def main() -> None:
    loop = asyncio.get_running_loop()
    listener = socket.create_server((HOST, 0), backlog=4096)
    listener.setblocking(False)
    print("ready", listener.getsockname()[1], flush=True)
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The loop keeps only weak references.
        task = loop.create_task(sink(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
