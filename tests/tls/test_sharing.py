"""TLS in a scheduler with several OS threads, which OpenSSL's objects could not stand without a lock."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest

from socket2 import TLS, Event, Server, connect, newthread, serve_threads, stream, threadset, timeout

from ..interop.peers import LIMIT_S, ROOT, pattern
from .certificates import Authority, versions
from .ends import Steps, ends, over, shaken

CLIENTS = 8
BYTES = pattern(71, 400_000)
CUTS = sorted({*range(0, 400_001, 50_000), *range(0, 200_000, 8_000)})  # pieces of one record, and of several


@versions
def test_both_directions_in_several_os_threads(authority: Authority, version: str) -> None:
    """A thread that sends and one that receives are often in OpenSSL at the same time."""
    os_threads: set[int] = set()
    another = threading.Event()
    received: list[bytes] = []

    def note() -> None:
        """The first caller waits until another OS thread calls this: one of the standby members has to take over."""
        os_threads.add(threading.get_ident())
        if len(os_threads) > 1:
            another.set()
        assert another.wait(LIMIT_S)

    def send(at: TLS) -> Steps:
        for begin, end in pairwise(CUTS):
            note()
            yield from at.sendall(BYTES[begin:end])
        at.shutdown()

    def receive(at: TLS) -> Steps:
        got = bytearray()
        while data := (yield from at.recv(10_000)):
            note()
            got += data
        received.append(bytes(got))

    def talk() -> Steps:
        client, server = over(authority, *ends(authority, "tcp"), version)
        with client, server, timeout(LIMIT_S):
            yield from shaken(client, server)
            with threadset() as ts:
                for at in (client, server):
                    ts.newthread(send, at)
                    ts.newthread(receive, at)
                yield from ts.join()

    for _ in range(CLIENTS):
        newthread(talk)
    assert serve_threads(4)
    assert received == [BYTES] * (2 * CLIENTS)


def test_a_server_in_several_os_threads(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[bytes] = []

    def handle(conn: TLS) -> Steps:
        lines = stream(conn)
        while (line := (yield from lines.recvline())) is not None:
            yield from lines.sendall(line + b"\n")

    def visit(address: Any) -> Steps:
        with (yield from connect(*address, tls=authority.client())) as conn:
            lines = stream(conn)
            for number in range(50):
                yield from lines.sendall(b"%d\n" % number)
                assert (yield from lines.recvline()) == b"%d" % number
            answers.append((yield from finish(lines)))

    def finish(lines: Any) -> Steps:
        lines.shutdown()
        return (yield from lines.recvall())

    def main() -> Steps:
        server = Server(handle, tls=authority.server(), max_handshakes=2)
        yield from server.listen("127.0.0.1")
        with timeout(LIMIT_S), threadset() as ts:
            for _ in range(CLIENTS):
                ts.newthread(visit, server.addresses[0])
            yield from ts.join()
        yield from server.stop()
        over.set()

    over = Event()
    newthread(main)
    assert serve_threads(4)
    assert over.is_set()
    assert answers == [b""] * CLIENTS
    assert not caplog.records


def test_ssl_is_imported_when_tls_is_used() -> None:
    """It takes long, and a Python may have been built without it."""
    program = "import sys, socket2, socket2.debug, socket2.luasocket; print({'ssl', '_ssl'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=LIMIT_S)
    assert done.stdout.split() == [b"set()"]
