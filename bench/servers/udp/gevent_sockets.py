"""gevent: its sockets in one greenlet. DatagramServer spawns a greenlet per datagram, which costs more."""

from __future__ import annotations

from gevent import socket

from bench.servers import HOST


def main() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    print("ready", sock.getsockname()[1], flush=True)
    while True:
        data, address = sock.recvfrom(65536)
        sock.sendto(data, address)


if __name__ == "__main__":
    main()
