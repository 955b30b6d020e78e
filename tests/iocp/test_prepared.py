"""A signal handler may wake a poller at any moment, also while cffi holds its lock."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from typing import Any

from pollers.windows import winsock
from socket2 import connect, listen, newthread, run, sleep, udp

from ..interop.peers import LIMIT_S, OSThread

Steps = Generator[Any, Any, Any]


def test_no_operation_needs_the_lock_of_cffi() -> None:
    def echo(listener: Any) -> Steps:
        with (yield from listener.accept()) as conn:
            yield from conn.sendall((yield from conn.recv(10)))

    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, udp() as one:
            newthread(echo, listener)
            with (yield from connect(*listener.local_address)) as client:
                yield from client.sendall(b"x")
                assert (yield from client.recv(10)) == b"x"
                client.shutdown(socket.SHUT_WR)
                assert (yield from client.recv(10)) == b""
            one.bind("127.0.0.1", 0)
            yield from one.sendto(b"y", one.local_address)
            assert (yield from one.recvfrom(10))[0] == b"y"
            yield from sleep(0.001)
        return "ended"

    done = threading.Event()

    def serve() -> Any:
        try:
            return run(main)
        finally:
            done.set()

    with winsock.ffi._lock:
        thread = OSThread(serve)
        thread.start()
        was_in_time = done.wait(LIMIT_S)
    assert thread.outcome() == "ended"
    assert was_in_time
