"""A TCP proxy for a limited number of connections. Each direction ends separately (half-close)."""

import signal
import sys

import trio

LIMIT = 2
CONNECT_S = 10


async def carry(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    async for data in source:
        await sink.send_all(data)
    await sink.send_eof()


async def proxy(client: trio.SocketStream, room: trio.Semaphore) -> None:
    try:
        async with client:
            host, port = sys.argv[2].rsplit(":", 1)
            with trio.fail_after(CONNECT_S):
                upstream = await trio.open_tcp_stream(host, int(port))
            async with upstream, trio.open_nursery() as nursery:
                nursery.start_soon(carry, client, upstream)
                nursery.start_soon(carry, upstream, client)
    except* (OSError, trio.BrokenResourceError, trio.TooSlowError) as group:
        print(group.exceptions, file=sys.stderr)
    finally:
        room.release()


async def accept(listener: trio.SocketListener) -> None:
    room = trio.Semaphore(LIMIT)
    async with listener, trio.open_nursery() as nursery:
        while True:
            await room.acquire()
            nursery.start_soon(proxy, await listener.accept(), room)


async def main() -> None:
    [listener] = await trio.open_tcp_listeners(int(sys.argv[1]), host="127.0.0.1")
    print("listening on", listener.socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            nursery.start_soon(accept, listener)
            await anext(signals)
        nursery.cancel_scope.cancel()


trio.run(main)
