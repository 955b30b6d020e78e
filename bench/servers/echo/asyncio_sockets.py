"""asyncio, sockets: loop.sock_recv and loop.sock_sendall, a task for each connection."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from bench.servers import HOST


async def echo(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    with connection, suppress(ConnectionError):
        while data := await loop.sock_recv(connection, 65536):
            await loop.sock_sendall(connection, data)


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
        task = loop.create_task(echo(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
