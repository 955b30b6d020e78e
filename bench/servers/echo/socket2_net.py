"""socket2.net, events: a plain 'data' listener for each connection."""

from __future__ import annotations

from typing import Any

import socket2
from bench.servers import HOST
from socket2 import net


def echo(conn: net.Socket) -> None:
    def answer(data: bytes) -> None:
        if not conn.write(data):
            conn.pause()

    conn.on("data", answer)
    conn.on("drain", conn.resume)
    conn.on("error", lambda error: None)  # a client may reset


def ready(address: Any) -> None:
    print("ready", address["port"], flush=True)


def main() -> None:
    server = net.createServer({"noDelay": True}, echo)
    server.listen(0, HOST, 4096)
    server.on("listening", lambda: ready(server.address()))
    socket2.start()


if __name__ == "__main__":
    main()
