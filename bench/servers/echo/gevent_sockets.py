"""gevent: a StreamServer and its sockets, a greenlet for each connection."""

from __future__ import annotations

from contextlib import suppress

from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket

from bench.servers import HOST


def echo(connection: socket, address: tuple[str, int]) -> None:
    # The server closes the connection when this returns.
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            connection.sendall(data)


def main() -> None:
    server = StreamServer((HOST, 0), echo, backlog=4096)
    server.start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
