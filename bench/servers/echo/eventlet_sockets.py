"""eventlet: its serve() and green sockets, a green thread for each connection."""

from __future__ import annotations

from contextlib import suppress

import eventlet
from eventlet.green.socket import IPPROTO_TCP, TCP_NODELAY, socket

from bench.servers import HOST

# serve() takes no more clients than its pool has threads.
CLIENTS_MAX = 100_000


def echo(connection: socket, address: tuple[str, int]) -> None:
    # serve() closes the connection when this returns.
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            connection.sendall(data)


def main() -> None:
    listener = eventlet.listen((HOST, 0), backlog=4096)
    print("ready", listener.getsockname()[1], flush=True)
    eventlet.serve(listener, echo, concurrency=CLIENTS_MAX)


if __name__ == "__main__":
    main()
