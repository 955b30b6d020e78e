"""Examples as programs: starting them on a free port, Ctrl-C, and what their tests do to them."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from ..interop.peers import ROOT, Program, connect, python, receive_exactly

EXAMPLES = ROOT / "examples"
STOP_S = 4.0  # less than any example waits for a client


@contextmanager
def server(name: str, *args: str) -> Iterator[tuple[Program, int]]:
    """Run a server on a free port. At the end of the block Ctrl-C ends it: at once, with status 0 and no output."""
    with python(EXAMPLES / name, "--port", "0", *args) as program:
        yield program, program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        stop(program)
        assert program.stderr() == b""


def stop(program: Program) -> None:
    program.send_signal(signal.SIGINT)
    begun = monotonic()
    status = program.wait()
    took_s = monotonic() - begun
    assert status == 0, program.stderr().decode()
    assert took_s < STOP_S, f"Ctrl-C took {took_s:.2f} s to end it"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def meet(port: int) -> bytes:
    """Connect, and receive the first data."""
    with connect("127.0.0.1", port) as sock:
        return sock.recv(100)


def byte_passes(one: socket.socket, other: socket.socket) -> None:
    """Check that data sent on `one` arrives at `other`."""
    one.sendall(b"!")
    assert receive_exactly(other, 1) == b"!"


def settles(program: Program, open_files: int, goes_on: Callable[[], None]) -> None:
    """Check that the program soon has no more descriptors open than that, while it does other things.

    It may have fewer: when they were counted, it may not yet have closed the connection of a client that had left.
    """
    for _ in range(100):
        if program.open_files() <= open_files:
            return
        goes_on()
    assert program.open_files() <= open_files


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send, and end the stream in this direction."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def answers(sock: socket.socket, request: bytes, answer: bytes) -> None:
    """Send a request, and check that this answer comes, and not yet more."""
    sock.sendall(request)
    assert receive_exactly(sock, len(answer)) == answer


def is_over(sock: socket.socket) -> bool:
    """Receive until the connection is over: by its end or by a reset."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True
