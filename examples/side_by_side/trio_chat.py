"""A chat server: each line goes to all other clients. A client that does not read is dropped and delays nobody."""

import signal
import sys
from functools import partial

import trio

LINE_MAX = 1000
UNREAD_MAX = 100


class Client:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.sender, self.lines = trio.open_memory_channel[bytes](UNREAD_MAX)
        self.scope = trio.CancelScope()

    async def write(self) -> None:
        async for line in self.lines:
            await self.stream.send_all(line)

    async def read(self) -> None:
        received = b""
        async for data in self.stream:
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                say(line + b"\n", self)
            if len(received) > LINE_MAX:
                return


room: set[Client] = set()


def say(line: bytes, by: Client) -> None:
    for client in room:
        if client is not by:
            try:
                client.sender.send_nowait(line)
            except trio.WouldBlock:
                client.scope.cancel()


async def chat(stream: trio.SocketStream) -> None:
    client = Client(stream)
    room.add(client)
    try:
        async with stream:
            with client.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.write)
                    await client.read()
                    room.discard(client)
                    client.sender.close()
    except* trio.BrokenResourceError:
        pass
    finally:
        room.discard(client)


async def main() -> None:
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            serve = partial(trio.serve_tcp, host="127.0.0.1")
            listeners = await nursery.start(serve, chat, int(sys.argv[1]))
            print("listening on", listeners[0].socket.getsockname()[1], flush=True)
            await anext(signals)
        nursery.cancel_scope.cancel()


trio.run(main)
