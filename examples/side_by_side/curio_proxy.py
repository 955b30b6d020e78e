"""A TCP proxy for a limited number of connections. Each direction ends separately (half-close)."""

import signal
import socket
import sys

import curio

LIMIT = 2
CONNECT_S = 10


async def carry(source: curio.io.Socket, sink: curio.io.Socket) -> None:
    while data := await source.recv(65536):
        await sink.sendall(data)
    await sink.shutdown(socket.SHUT_WR)


async def proxy(client: curio.io.Socket, room: curio.Semaphore) -> None:
    try:
        async with client:
            host, port = sys.argv[2].rsplit(":", 1)
            upstream = await curio.timeout_after(CONNECT_S, curio.open_connection, host, int(port))
            async with upstream, curio.TaskGroup() as tasks:
                await tasks.spawn(carry, client, upstream)
                await tasks.spawn(carry, upstream, client)
    except (OSError, curio.TaskTimeout) as error:
        print(error, file=sys.stderr)
    finally:
        await room.release()


async def accept(listener: curio.io.Socket) -> None:
    room = curio.Semaphore(LIMIT)
    async with listener, curio.TaskGroup() as tasks:
        while True:
            await room.acquire()
            client, _ = await listener.accept()
            await tasks.spawn(proxy, client, room)


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
    accepting = await curio.spawn(accept, listener)
    async with signals_of(signal.SIGTERM, signal.SIGINT) as signals:
        await signals.recv(1)
    await accepting.cancel()


curio.run(main)
