"""A chat server. Each line that a client sends goes to all other clients. The first line is the client's name.

Shows two threads for each connection, a reader and a writer. Between them is a queue that uses suspend() and resume().
A client that does not read delays nobody: only its own writer waits for it. If too much data piles up, the client is
disconnected.

    $ python examples/chat.py --port 7003
    listening on 127.0.0.1:7003
    $ nc 127.0.0.1 7003
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import socket2

NAME_MAX = 20  # characters
LINE_MAX = 4096  # bytes
BACKLOG_MAX = 256 * 1024  # bytes queued for a client
FAREWELL_S = 5  # time to send the rest to a client that has left


class Client:
    """A connection and the lines that wait to be sent to it."""

    def __init__(self, conn: socket2.TCP) -> None:
        self.stream = socket2.stream(conn)
        self._backlog: list[bytes] = []
        self._unsent = 0  # bytes in the backlog or being sent
        self._leaving = False
        self._suspended: socket2.Thread[object] | None = None  # the writer, while it has nothing to do

    def tell(self, line: str) -> None:
        """Queue a line for the writer. Does not wait."""
        data = f"{line}\n".encode()
        if self._unsent + len(data) > BACKLOG_MAX:
            self.stream.close()  # the reader and the writer get Closed
            return
        self._backlog.append(data)
        self._unsent += len(data)
        self._wake_writer()

    def leave(self) -> None:
        """Tell the writer to end after it has sent everything."""
        self._leaving = True
        self._wake_writer()

    def _wake_writer(self) -> None:
        writer, self._suspended = self._suspended, None
        if writer is not None:
            socket2.resume(writer)

    def write(self) -> Generator[Any, Any, None]:
        with suppress(OSError):  # the reader gets the error too
            while not self._leaving or self._backlog:
                if not self._backlog:
                    self._suspended = socket2.currentthread()
                    try:
                        yield from socket2.suspend()
                    finally:
                        self._suspended = None
                    continue
                lines, self._backlog = self._backlog, []
                yield from self.stream.sendv(lines)
                self._unsent -= sum(map(len, lines))


class Room:
    """The clients that talk to each other."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()

    def say(self, line: str, by: Client) -> None:
        for client in self.clients:
            if client is not by:
                client.tell(line)

    def read(self, client: Client) -> Generator[Any, Any, None]:
        """Pass on a client's lines until the end of its stream."""
        name = ""
        try:
            while (line := (yield from client.stream.recvline(LINE_MAX))) is not None:
                text = printable(line)
                if name:
                    self.say(f"{name}: {text}", client)
                elif name := text[:NAME_MAX]:
                    self.clients.add(client)
                    self.say(f"* {name} is here", client)
                yield from socket2.sleep(0)  # let the writers run, so that no client is dropped for lack of a turn
        except (socket2.IncompleteRead, socket2.LimitExceeded):
            pass  # an incomplete or overlong line is not passed on
        finally:
            self.clients.discard(client)
            client.leave()
            if name:
                self.say(f"* {name} has left", client)

    def serve(self, conn: socket2.TCP) -> Generator[Any, Any, None]:
        """Read from a connection, and start its writer."""
        with conn, suppress(OSError):
            conn.setopt("nodelay", True)  # a line must not wait for the line before it
            client = Client(conn)
            writer = socket2.newthread(client.write)
            yield from self.read(client)
            with socket2.timeout(FAREWELL_S):
                yield from writer.join()


def printable(line: bytes) -> str:
    """Decode a line, and remove characters that could disturb a terminal."""
    return "".join(filter(str.isprintable, line.decode(errors="replace")))


def accept(listener: socket2.TCP) -> Generator[Any, Any, None]:
    print("listening on", socket2.format_address(listener.local_address), flush=True)
    room = Room()
    while True:
        conn = yield from listener.accept()
        socket2.newthread(room.serve, conn)


class Options(argparse.Namespace):
    host: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Let people talk to each other.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7003, type=int, help="0: a free port")
    args = parser.parse_args(namespace=Options())
    with socket2.tcp() as listener:
        try:
            listener.listen(args.host, args.port)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        with suppress(KeyboardInterrupt):
            socket2.run(accept, listener)


if __name__ == "__main__":
    main()
