"""A TCP proxy for a limited number of connections. Each direction ends separately (half-close)."""

import asyncio
import signal
import socket
import sys
from contextlib import suppress

LIMIT = 2
CONNECT_S = 10


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def proxy(client: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        host, port = sys.argv[2].rsplit(":", 1)
        async with asyncio.timeout(CONNECT_S):
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(carry(reader, upstream_writer))
                tasks.create_task(carry(upstream_reader, writer))
        finally:
            upstream_writer.close()
            with suppress(OSError):
                await upstream_writer.wait_closed()
    except* OSError as group:
        print(group.exceptions, file=sys.stderr)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def accept(listener: socket.socket) -> None:
    room = asyncio.Semaphore(LIMIT)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        while True:
            await room.acquire()
            client, _ = await loop.sock_accept(listener)
            tasks.create_task(proxy(client)).add_done_callback(lambda _: room.release())


async def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        listener.setblocking(False)
        print("listening on", listener.getsockname()[1], flush=True)
        accepting = asyncio.create_task(accept(listener))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, accepting.cancel)
        with suppress(asyncio.CancelledError):
            await accepting


asyncio.run(main())
