"""An echo server: clients that are silent for too long are closed, and a signal stops it gracefully."""

import asyncio
import signal
import sys
from contextlib import suppress

IDLE_S = float(sys.argv[2])
GRACE_S = 3

connections: set[asyncio.Task[None]] = set()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    task = asyncio.current_task()
    assert task is not None
    connections.add(task)
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            async with asyncio.timeout(IDLE_S):
                await writer.drain()
    except (OSError, asyncio.CancelledError):
        writer.transport.abort()
    finally:
        connections.discard(task)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await asyncio.start_server(echo, "127.0.0.1", int(sys.argv[1]))
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()
    late: set[asyncio.Task[None]] = set()
    if connections:
        stop.clear()
        second_signal = asyncio.create_task(stop.wait())
        finished = asyncio.create_task(asyncio.wait(connections, timeout=GRACE_S))
        await asyncio.wait({finished, second_signal}, return_when=asyncio.FIRST_COMPLETED)
        second_signal.cancel()
        finished.cancel()
        late = set(connections)
        for task in late:
            task.cancel()
        await asyncio.gather(*late)
    print("cut off:", len(late))


asyncio.run(main())
