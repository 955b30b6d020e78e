"""What SOCKET2_CHECK=1 reports, where, and that it reports nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ..interop.peers import LIMIT_S, ROOT

PRELUDE = """
from contextlib import suppress

from socket2 import *

def connected():
    listener = tcp()
    listener.listen("127.0.0.1")
    conn = tcp()
    yield from conn.connect(*listener.getsockname())
    peer = yield from listener.accept()
    return listener, conn, peer

def close(*socks):
    for sock in socks:
        sock.close()
"""


class Script:
    """A program that uses socket2, and its output. Its lines can be marked with `# HERE`."""

    def __init__(self, directory: Path, body: str, check: str | None = "1") -> None:
        path = directory / "program.py"
        text = PRELUDE + textwrap.dedent(body)
        path.write_text(text)
        self.here = [f"{path}:{at}" for at, line in enumerate(text.splitlines(), 1) if line.endswith("# HERE")]
        env = {name: value for name, value in os.environ.items() if name != "SOCKET2_CHECK"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        if check is not None:
            env["SOCKET2_CHECK"] = check
        done = subprocess.run(
            [sys.executable, path], env=env, capture_output=True, timeout=LIMIT_S, check=False, text=True
        )
        assert done.returncode == 0, done.stderr
        self.stdout = done.stdout
        self.stderr = done.stderr
        self.warnings = [line for line in done.stderr.splitlines() if " RuntimeWarning: " in line and os.sep in line]


# Operations that nobody awaited.

FORGOTTEN = {
    "recv": "conn.recv(1)",
    "recv_into": "conn.recv_into(bytearray(1))",
    "send": "conn.send(b'x')",
    "sendall": "conn.sendall(b'x')",
    "sendfile": "conn.sendfile(open(__file__, 'rb'))",
    "connect": "conn.connect('127.0.0.1', 9)",
    "accept": "listener.accept()",
    "sleep": "sleep(1)",
    "suspend": "suspend()",
    "join": "currentthread().join()",
    "addr": "addr('127.0.0.1', 9)",
    "call_in_thread": "call_in_thread(print)",
    "recvfrom": "datagrams.recvfrom(1)",
    "recvfrom_into": "datagrams.recvfrom_into(bytearray(1))",
    "sendto": "datagrams.sendto(b'x', '127.0.0.1', 9)",
}


@pytest.mark.parametrize(("name", "made"), FORGOTTEN.items(), ids=FORGOTTEN)
def test_a_forgotten_yield_from_is_told_once_with_its_place(tmp_path: Path, name: str, made: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            datagrams = udp()
            {made}  # HERE
            close(listener, conn, peer, datagrams)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told
    assert "`yield from`" in told
    assert "`await`" in told


@pytest.mark.parametrize(
    ("name", "made"),
    [("recv", "conn.recv(1)"), ("sendall", "conn.sendall(b'x')"), ("accept", "listener.accept()")],
)
def test_it_has_the_same_name_on_a_socket_with_a_timeout(tmp_path: Path, name: str, made: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            conn.settimeout(1)
            listener.settimeout(1)
            {made}  # HERE
            close(listener, conn, peer)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told


@pytest.mark.parametrize(("name", "made"), [("recv", "datagrams.recv(1)"), ("send", "datagrams.send(b'x')")])
def test_a_datagram_that_nobody_awaits_is_told_by_the_name_that_was_called(
    tmp_path: Path, name: str, made: str
) -> None:
    script = Script(
        tmp_path,
        f"""
        datagrams = udp()
        {made}  # HERE
        datagrams.close()
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told


def test_it_is_told_in_plain_functions_async_functions_and_of_operations_dropped_elsewhere(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        def plain(conn):
            conn.recv(1)  # HERE

        async def asynchronous(conn):
            conn.recv(2)  # HERE

        def drop(operation):
            pass

        def main():
            listener, conn, peer = yield from connected()
            plain(conn)
            newthread(asynchronous, conn)
            kept = conn.recv(3)  # HERE
            drop(kept)
            del kept
            close(listener, conn, peer)

        run(main)
        """,
    )
    assert len(script.warnings) == len(script.here) == 3
    for told, place in zip(script.warnings, script.here, strict=True):
        assert f" recv made at {place} was never awaited" in told


def line() -> int:
    return sys._getframe(1).f_lineno


def place(at: int) -> str:
    return f"{sys._getframe(1).f_code.co_filename}:{at}"
