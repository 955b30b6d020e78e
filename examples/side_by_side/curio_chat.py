"""A chat server: each line goes to all other clients. A client that does not read is dropped and delays nobody."""

import signal
import socket
import sys

import curio

LINE_MAX = 1000
UNREAD_MAX = 100


class Client:
    def __init__(self, sock: curio.io.Socket) -> None:
        self.sock = sock
        self.lines: list[bytes] = []
        self.more = curio.Semaphore(0)
        self.tasks = curio.TaskGroup(wait=any)

    async def write(self) -> None:
        while True:
            await self.more.acquire()
            await self.sock.sendall(self.lines.pop(0))

    async def read(self) -> None:
        received = b""
        while data := await self.sock.recv(65536):
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                await say(line + b"\n", self)
            if len(received) > LINE_MAX:
                return


room: set[Client] = set()


async def say(line: bytes, by: Client) -> None:
    for client in list(room):
        if client is by:
            continue
        if len(client.lines) < UNREAD_MAX:
            client.lines.append(line)
            await client.more.release()
        else:
            room.discard(client)
            await client.tasks.cancel_remaining()


async def chat(sock: curio.io.Socket) -> None:
    client = Client(sock)
    room.add(client)
    try:
        async with sock, client.tasks:
            await client.tasks.spawn(client.read)
            await client.tasks.spawn(client.write)
    except OSError:
        pass
    finally:
        room.discard(client)


async def accept(listener: curio.io.Socket) -> None:
    async with listener, curio.TaskGroup() as tasks:
        while True:
            client, _ = await listener.accept()
            await tasks.spawn(chat, client)


def signals_of(*numbers: signal.Signals) -> curio.io.Socket:
    received, sent = socket.socketpair()
    sent.setblocking(False)
    signal.set_wakeup_fd(sent.detach())
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return curio.io.Socket(received)


async def main() -> None:
    listener = curio.tcp_server_socket("127.0.0.1", int(sys.argv[1]))
    print("listening on", listener.getsockname()[1], flush=True)
    serving = await curio.spawn(accept, listener)
    async with signals_of(signal.SIGTERM, signal.SIGINT) as signals:
        await signals.recv(1)
    await serving.cancel()


curio.run(main)
