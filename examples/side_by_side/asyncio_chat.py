"""A chat server: each line goes to all other clients. A client that does not read is dropped and delays nobody."""

import asyncio
import signal
import sys
from contextlib import suppress

LINE_MAX = 1000
UNREAD_MAX = 100


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.lines: asyncio.Queue[bytes] = asyncio.Queue(UNREAD_MAX)

    async def write(self) -> None:
        while True:
            self.writer.write(await self.lines.get())
            await self.writer.drain()

    async def read(self) -> None:
        while (line := await self.reader.readline()).endswith(b"\n"):
            say(line, self)


room: set[Client] = set()
connections: set[asyncio.Task[None]] = set()


def say(line: bytes, by: Client) -> None:
    for client in room:
        if client is not by:
            try:
                client.lines.put_nowait(line)
            except asyncio.QueueFull:
                client.writer.transport.abort()


async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    client = Client(reader, writer)
    room.add(client)
    this = asyncio.current_task()
    assert this is not None
    connections.add(this)
    tasks = [asyncio.create_task(client.read()), asyncio.create_task(client.write())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        room.discard(client)
        connections.discard(this)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(chat, "127.0.0.1", int(sys.argv[1]), limit=LINE_MAX)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()
    for task in list(connections):
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


asyncio.run(main())
