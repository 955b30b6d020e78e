"""An echo server: clients that are silent for too long are closed, and a signal stops it gracefully."""

import signal
import socket
import sys

import curio

IDLE_S = float(sys.argv[2])
GRACE_S = 3

connections: set[curio.Task] = set()
cut = 0


async def echo(client: curio.io.Socket) -> None:
    global cut
    task = await curio.current_task()
    connections.add(task)
    try:
        async with client:
            while data := await curio.timeout_after(IDLE_S, client.recv, 65536):
                await curio.timeout_after(IDLE_S, client.sendall, data)
    except (OSError, curio.TaskTimeout):
        pass
    except curio.CancelledError:
        cut += 1
        raise
    finally:
        connections.discard(task)


async def accept(listener: curio.io.Socket) -> None:
    async with listener:
        while True:
            client, _ = await listener.accept()
            await curio.spawn(echo, client, daemon=True)


async def all_ended() -> None:
    while connections:
        await next(iter(connections)).wait()


def signals_of(*numbers: signal.Signals) -> curio.io.Socket:
    received, sent = socket.socketpair()
    sent.setblocking(False)
    signal.set_wakeup_fd(sent.detach())
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return curio.io.Socket(received)


async def main() -> None:
    signals = signals_of(signal.SIGTERM, signal.SIGINT)
    async with signals:
        listener = curio.tcp_server_socket("127.0.0.1", int(sys.argv[1]))
        print("listening on", listener.getsockname()[1], flush=True)
        accepting = await curio.spawn(accept, listener)
        await signals.recv(1)
        await accepting.cancel()
        async with curio.TaskGroup(wait=any) as stopping:
            await stopping.spawn(curio.timeout_after, GRACE_S, all_ended)
            await stopping.spawn(signals.recv, 1)
        for task in list(connections):
            await task.cancel()
    print("cut off:", cut)


curio.run(main)
