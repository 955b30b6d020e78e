"""gevent: a StreamServer and sendall, a greenlet for each connection."""

from __future__ import annotations

from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket

from bench.servers import HOST
from bench.servers.source import BLOCK


def source(connection: socket, address: tuple[str, int]) -> None:
    # The server closes the connection when this returns.
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    for _ in range(int.from_bytes(connection.recv(8))):
        connection.sendall(BLOCK)


def main() -> None:
    server = StreamServer((HOST, 0), source, backlog=4096)
    server.start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
