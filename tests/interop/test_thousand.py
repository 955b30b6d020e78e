"""A thousand clients at once echo a megabyte each: no byte is lost, altered, or sent to another client."""

from __future__ import annotations

import signal
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2

from ..limits import allow_descriptors
from .peers import ROOT, pattern, python, run

CLIENTS = 1000
SIZE = 1_000_000
BLOCK = 1 << 16
SERVER_MEMORY_MAX_KB = 300_000

# Client number n sends the bytes from n * STEP on: no two send the same, and they share the memory.
STEP = 1009
BYTES = pattern(50, SIZE + CLIENTS * STEP)


@pytest.fixture
def descriptors() -> None:
    """Allow enough descriptors in this process, and in the server, which inherits the limit."""
    allow_descriptors(CLIENTS + 200)


class Crowd:
    """The clients. None continues before all have got the first byte back: then the server has all connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._arrived = 0
        self._waiting: list[socket2.Thread[object]] = []

    def visit(self, number: int) -> Generator[Any, Any, None]:
        first = number * STEP
        end = first + SIZE
        with socket2.tcp() as conn:
            yield from conn.connect("127.0.0.1", self._port)
            yield from conn.sendall(BYTES[first : first + 1])
            assert (yield from conn.recv(BLOCK)) == BYTES[first : first + 1]
            yield from self._everybody()
            sender = socket2.newthread(self._send, conn, first + 1, end)
            at = first + 1
            while data := (yield from conn.recv(BLOCK)):
                assert data == BYTES[at : at + len(data)], f"client {number} got something else at byte {at - first}"
                at += len(data)
            assert at == end, f"client {number} got {at - first} bytes back"
            yield from sender.join()

    def _send(self, conn: socket2.TCP, at: int, end: int) -> Generator[Any, Any, None]:
        while at < end:
            block = BYTES[at : min(at + BLOCK, end)]
            yield from conn.sendall(block)
            at += len(block)
        conn.shutdown(socket.SHUT_WR)

    def _everybody(self) -> Generator[Any, Any, None]:
        """Wait until all clients have called this."""
        self._arrived += 1
        if self._arrived < CLIENTS:
            self._waiting.append(socket2.currentthread())
            yield from socket2.suspend()
        else:
            for thread in self._waiting:
                socket2.resume(thread)


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("server_style", ["echo_server.py", "echo_server_async.py", "echo_server_net.py"])
def test_a_thousand_clients_at_once(server_style: str) -> None:
    with python(ROOT / "examples" / server_style, "--port", "0") as server:
        crowd = Crowd(server.port())

        async def visit_all() -> None:
            for visitor in [socket2.newthread(crowd.visit, number) for number in range(CLIENTS)]:
                await visitor.join()

        run(visit_all)
        status = Path(f"/proc/{server.pid}/status")
        if status.exists():
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            assert int(fields["VmHWM"].split()[0]) < SERVER_MEMORY_MAX_KB
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert server.stderr() == b""
