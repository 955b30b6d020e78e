"""Descriptors, child processes and files on a system that waits for sockets only."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest

from socket2 import (
    connect,
    fd_stream,
    listen,
    open_file,
    pipe,
    process,
    run,
    run_process,
    stdin,
    timeout,
    wait_readable,
    wait_writable,
)

Steps = Generator[Any, Any, Any]

SAYS = r"this system can wait for sockets.*call_in_thread\(\)"


def test_a_socket_of_ours_can_be_waited_for() -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, (yield from connect(*listener.local_address)) as client:
            yield from wait_readable(listener)
            with (yield from listener.accept()) as conn:
                yield from wait_writable(client)
                with pytest.raises(TimeoutError), timeout(0.01):
                    yield from wait_readable(client)
                yield from conn.sendall(b"x")
                yield from wait_readable(client)
                assert (yield from client.recv(10)) == b"x"

    run(main)


def test_everything_else_is_refused() -> None:
    reader, writer = os.pipe()
    with socket.socket() as sock:

        def main() -> Steps:
            for what in (reader, sock):
                with pytest.raises(io.UnsupportedOperation, match=SAYS):
                    yield from wait_readable(what)
                with pytest.raises(io.UnsupportedOperation, match=SAYS):
                    yield from wait_writable(what)
            for refused in (pipe, stdin, lambda: fd_stream(reader)):
                with pytest.raises(io.UnsupportedOperation, match=SAYS):
                    refused()
            with pytest.raises(io.UnsupportedOperation, match=SAYS):
                process([sys.executable, "-c", ""], stdout=PIPE)

        run(main)
    os.close(reader)
    os.close(writer)


def test_a_child_without_streams(tmp_path: Path) -> None:
    def main() -> Steps:
        with (tmp_path / "out").open("wb") as out:
            with process([sys.executable, "-c", "print('hello'); exit(7)"], stdin=DEVNULL, stdout=out) as child:
                assert (yield from child.wait()) == 7
                assert child.returncode == 7
        assert (tmp_path / "out").read_bytes().split() == [b"hello"]

    run(main)


def test_a_child_is_killed_at_the_end_of_its_block() -> None:
    def main() -> Steps:
        with process([sys.executable, "-c", "import time; time.sleep(60)"], stdin=DEVNULL) as child:
            with pytest.raises(TimeoutError), timeout(0.5):
                yield from child.wait()
            assert child.returncode is None
        assert (yield from child.wait()) != 0
        async_child = process([sys.executable, "-c", "import time; time.sleep(60)"], stdin=DEVNULL)

        async def block() -> None:
            async with async_child:
                async_child.terminate()
                await async_child.wait()

        yield from block().__await__()

    run(main)


def test_a_child_from_start_to_end() -> None:
    code = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('err')"

    def main() -> Steps:
        done = yield from run_process([sys.executable, "-c", code], input=b"text", capture_output=True)
        assert (done.stdout, done.stderr, done.returncode) == (b"TEXT", b"err", 0)
        with pytest.raises(subprocess.CalledProcessError):
            yield from run_process([sys.executable, "-c", "exit(3)"], stdin=DEVNULL)
        with pytest.raises(TimeoutError), timeout(0.5):
            yield from run_process([sys.executable, "-c", "import time; time.sleep(60)"], capture_output=True)

    run(main)


def test_a_file_on_a_disk(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_file(tmp_path / "file", "w") as file:
            await file.write("one\ntwo\n")
        async with await open_file(tmp_path / "file") as lines:
            assert [line async for line in lines] == ["one\n", "two\n"]

    run(main)
