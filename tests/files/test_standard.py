"""The standard streams, in processes of their own, which choose their poller themselves."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import tty
from pathlib import Path
from typing import Any

from ..interop.peers import LIMIT_S, ROOT, beside

UPPER = """
import os, sys
from socket2 import run, stderr, stdin, stdout, stream

def main():
    out, lines, err = stdout(), stream(stdin()), stderr()
    while (line := (yield from lines.recvline())) is not None:
        yield from out.sendall(line.upper() + b"\\n")
    yield from out.sendall(bytes(200_000))
    lines.close()
    out.close()
    os.fstat(0), os.fstat(1)
    yield from err.sendall(b"end\\n")
    err.close()

run(main)
"""


def upper(stdin: Any, stdout: Any) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-c", UPPER],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"end\n")
    return done


EXPECTED = b"ONE\nTWO\n" + bytes(200_000)


def test_standard_streams_that_are_pipes() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one\ntwo\n")
    os.close(writer)
    done = upper(reader, subprocess.PIPE)
    assert done.stdout == EXPECTED
    assert os.get_blocking(reader)
    os.close(reader)


def test_standard_streams_that_are_files_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as taken:
        upper(given, taken)
    assert (tmp_path / "out").read_bytes() == EXPECTED


def test_standard_streams_that_are_a_terminal() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    attributes = termios.tcgetattr(slave)
    attributes[3] |= termios.ICANON  # so that Ctrl-D is the end
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    os.write(master, b"one\ntwo\n\x04")
    received = b""

    def receive() -> None:
        nonlocal received
        while len(received) < len(EXPECTED):
            received += os.read(master, 65536)

    with beside(receive):
        upper(slave, slave)
    assert received == EXPECTED
    assert os.get_blocking(slave)
    os.close(master)
    os.close(slave)


def test_standard_streams_that_are_the_null_device() -> None:
    upper(subprocess.DEVNULL, subprocess.DEVNULL)
