"""A TCP proxy for a limited number of connections. Each direction ends separately (half-close)."""

import sys

import socket2

LIMIT = 2
CONNECT_S = 10


async def carry(source: socket2.TCP, sink: socket2.TCP) -> None:
    while data := await source.recv(65536):
        await sink.sendall(data)
    sink.shutdown()


async def proxy(client: socket2.TCP) -> None:
    with socket2.timeout(CONNECT_S):
        upstream = await socket2.connect(sys.argv[2])
    with upstream:
        async with socket2.threadset() as threads:
            threads.newthread(carry, client, upstream)
            await carry(upstream, client)


def ready(server: socket2.Server) -> None:
    print("listening on", server.addresses[0][1], flush=True)


socket2.run(lambda: socket2.serve(proxy, "127.0.0.1", sys.argv[1], max_connections=LIMIT, grace_s=0, ready=ready))
