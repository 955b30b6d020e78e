"""gevent: a StreamServer and recv_into, a greenlet for each connection."""

from __future__ import annotations

from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket

from bench.servers import HOST


def sink(connection: socket, address: tuple[str, int]) -> None:
    # The server closes the connection when this returns.
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    buffer = bytearray(262144)
    while connection.recv_into(buffer):
        pass


def main() -> None:
    server = StreamServer((HOST, 0), sink, backlog=4096)
    server.start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
