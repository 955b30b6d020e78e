"""A chat server: each line goes to all other clients. A client that does not read is dropped and delays nobody."""

import queue
import sys

import socket2

LINE_MAX = 1000
UNREAD_MAX = 100

room: dict[socket2.Stream, socket2.Queue[bytes]] = {}


async def write(stream: socket2.Stream, lines: socket2.Queue[bytes]) -> None:
    async for line in lines:
        await stream.sendall(line)


async def chat(conn: socket2.TCP) -> None:
    async with socket2.threadset() as threads:
        stream = socket2.stream(conn)
        room[stream] = socket2.Queue(UNREAD_MAX)
        threads.newthread(write, stream, room[stream])
        try:
            async for line in stream.lines(LINE_MAX, keep_end=True):
                say(line, stream)
        finally:
            room.pop(stream).close()


def say(line: bytes, by: socket2.Stream) -> None:
    for stream, lines in room.items():
        if stream is not by:
            try:
                lines.put_nowait(line)
            except queue.Full:
                stream.close()


def ready(server: socket2.Server) -> None:
    print("listening on", server.addresses[0][1], flush=True)


socket2.run(lambda: socket2.serve(chat, "127.0.0.1", sys.argv[1], grace_s=0, ready=ready))
