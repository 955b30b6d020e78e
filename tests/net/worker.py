"""A worker: `worker.py FD` obeys the messages of a channel, and ends when the channel does."""

from __future__ import annotations

import os
import sys
from typing import Any

import socket2
from socket2 import net
from socket2.net import Channel, Server, Socket


class Worker:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.servers: list[Server] = []
        self.sockets: list[Socket] = []

    def told(self, message: dict[str, Any], handle: Socket | Server | None) -> None:
        getattr(self, message.pop("do"))(handle, **message)

    def echo(self, conn: Socket) -> None:
        self.take(conn)
        conn.pipe(conn)
        self.channel.send({"has": "socket", "bytesRead": conn.bytesRead})

    def keep(self, conn: Socket) -> None:
        self.take(conn)
        conn.resume()

    def drop(self, _: None) -> None:
        self.sockets.pop().destroy()

    def serve(self, server: Server, limit: int | None = None) -> None:
        self.servers.append(server)
        server.maxConnections = limit
        server.on("connection", self.greet)
        self.channel.send({"has": "server"})

    def take(self, conn: Socket) -> None:
        conn.on("error", lambda error: None)  # the client does not wait for our answer
        self.sockets.append(conn)

    def join(self, _: None) -> None:
        net.joinCluster(self.channel)

    def listen(self, _: None, options: dict[str, Any]) -> None:
        server = net.createServer(self.greet)
        self.servers.append(server)
        server.on("listening", lambda: self.channel.send({"address": server.address()}))
        server.on("error", lambda error: self.channel.send({"code": error.code}))
        server.listen(options)

    def close(self, _: None) -> None:
        self.servers.pop().close(lambda error: self.channel.send({"closed": True}))

    def greet(self, conn: Socket) -> None:
        self.take(conn)
        conn.resume()
        conn.write(f"worker {os.getpid()}")

    def gone(self) -> None:
        net.joinCluster(None)
        for server in self.servers:
            server.close()
        for conn in self.sockets:
            conn.destroy()


if __name__ == "__main__":
    worker = Worker(Channel(int(sys.argv[1])))
    worker.channel.on("message", worker.told)
    worker.channel.on("disconnect", worker.gone)
    socket2.start()
