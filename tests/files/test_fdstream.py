"""Pipes, terminals and other descriptors as byte streams."""

from __future__ import annotations

import io
import os
import pty
import socket
import tty
from contextlib import suppress
from pathlib import Path

import pytest

from socket2 import (
    Closed,
    FdStream,
    fd_stream,
    newthread,
    pipe,
    run,
    sleep,
    stream,
)
from socket2.files import fdstream

from ..conftest import descriptors
from ..interop.peers import pattern
from .given import MUCH, Steps, given_pipe

pytestmark = pytest.mark.usefixtures("poller")


def carries(one: FdStream, other: FdStream) -> Steps:
    """Send lines and much data from one to the other."""

    def send() -> Steps:
        with stream(other) as out:
            yield from out.sendall(b"a line\nanother\n")
            yield from out.sendall(pattern(0, MUCH))

    sending = newthread(send)
    lines = stream(one)
    assert (yield from lines.recvline()) == b"a line"
    assert (yield from lines.recvline()) == b"another"
    received = yield from lines.recvn(MUCH)
    assert received == pattern(0, MUCH)
    yield from sending.join()
    return lines


def test_lines_and_data_over_a_new_pipe() -> None:
    before = descriptors()

    def main() -> Steps:
        one, other = pipe()
        lines = yield from carries(one, other)
        assert (yield from lines.recvline()) is None
        lines.close()
        assert one.closed
        assert one.fileno() == -1

    run(main)
    assert len(descriptors()) <= len(before) + 3  # the poller's own


def test_lines_and_data_over_a_given_pipe(way: str) -> None:
    def main() -> Steps:
        with given_pipe() as (one, other):
            yield from carries(one, other)

    run(main)


def test_a_fifo(way: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def main() -> Steps:
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        writer = os.open(tmp_path / "fifo", os.O_WRONLY)
        with fd_stream(reader) as one, fd_stream(writer) as other:
            yield from carries(one, other)
            assert os.get_blocking(reader)

    run(main)


def test_a_socket_of_somebody_else(way: str) -> None:
    def main() -> Steps:
        one, other = socket.socketpair()
        with fd_stream(one.detach()) as here, fd_stream(other.detach()) as there:
            assert here.readable
            assert here.writable
            yield from carries(here, there)
            assert os.get_blocking(here.fileno())

    run(main)


def test_a_terminal(way: str) -> None:
    def main() -> Steps:
        master, slave = pty.openpty()
        tty.setraw(slave)
        with fd_stream(master) as user, fd_stream(slave) as terminal:
            yield from user.sendall(b"a line\n")
            lines = stream(terminal)
            assert (yield from lines.recvline()) == b"a line"
            waiting = newthread(lines.recvline)
            yield from sleep(0)
            yield from user.sendall(b"another\n")
            assert (yield from waiting.join()) == b"another"
            yield from lines.sendall(b"answer\n")
            assert (yield from stream(user).recvline()) == b"answer"
            assert os.get_blocking(slave)
            assert os.get_blocking(master)
            lines.close()
            with suppress(OSError):
                assert (yield from user.recv(10)) == b""  # on Linux EIO

    run(main)


def test_a_terminal_that_is_full_does_not_block_the_loop() -> None:
    def main() -> Steps:
        master, slave = pty.openpty()
        tty.setraw(slave)
        with fd_stream(master) as user, fd_stream(slave) as terminal:
            sending = newthread(terminal.sendall, bytes(MUCH))
            received = 0
            while received < MUCH:
                received += len((yield from user.recv(65536)))
            yield from sending.join()

    run(main)


def test_a_descriptor_that_is_non_blocking_stays_so() -> None:
    def main() -> Steps:
        master, slave = pty.openpty()
        for fd in (master, slave):
            os.set_blocking(fd, False)
        tty.setraw(slave)
        with fd_stream(master) as user, fd_stream(slave) as terminal:
            receiving = newthread(terminal.recv, 10)
            yield from sleep(0)
            yield from user.sendall(b"x")
            assert (yield from receiving.join()) == b"x"
            assert not os.get_blocking(slave)

    run(main)


def test_only_one_direction() -> None:
    def main() -> Steps:
        one, other = pipe()
        with one, other:
            assert (one.readable, one.writable) == (True, False)
            assert (other.readable, other.writable) == (False, True)
            with pytest.raises(io.UnsupportedOperation, match="not open for writing"):
                yield from one.sendall(b"x")
            with pytest.raises(io.UnsupportedOperation, match="not open for reading"):
                yield from other.recv(1)
            with pytest.raises(io.UnsupportedOperation, match="not open for reading"):
                yield from other.recv_into(bytearray(1))
            one.shutdown(socket.SHUT_WR)  # there is nothing to end
            assert not one.closed
            stream(other).shutdown()
            assert other.closed
            assert (yield from one.recv(1)) == b""
            one.shutdown(socket.SHUT_RDWR)
            assert one.closed
            with pytest.raises(Closed):
                one.shutdown(socket.SHUT_RD)

    run(main)


def test_finish_closes_either_end() -> None:
    def main() -> Steps:
        one, other = pipe()
        yield from stream(other).finish()
        assert other.closed
        yield from stream(one).finish()
        assert one.closed

    run(main)


def test_two_directions_in_one_descriptor_end_together() -> None:
    def main() -> Steps:
        one, other = socket.socketpair()
        with other, fd_stream(one.detach()) as both:
            with pytest.raises(io.UnsupportedOperation, match="one of its directions"):
                both.shutdown(socket.SHUT_WR)
            both.shutdown(socket.SHUT_RDWR)
            assert both.closed
        yield from sleep(0)

    run(main)


def test_receiving_into_a_buffer() -> None:
    def main() -> Steps:
        one, other = pipe()
        with one, other:
            yield from other.sendall(memoryview(b"0123456789")[2:])
            buffer = bytearray(8)
            assert (yield from one.recv_into(buffer, 3)) == 3
            assert buffer[:3] == b"234"
            assert (yield from one.recv_into(buffer)) == 5
            with pytest.raises(TypeError, match="writable"):
                yield from one.recv_into(b"read-only")
            with pytest.raises(ValueError, match="has 8 bytes"):
                yield from one.recv_into(buffer, 9)
            with pytest.raises(ValueError, match="negative"):
                yield from one.recv(-1)
            assert (yield from one.recv(0)) == b""
            with pytest.raises(TypeError):
                yield from other.sendall("text")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="direction"):
                one.settimeout(1, "both")  # type: ignore[arg-type]
            one.settimeout(2.0**31)  # as good as no limit
            assert one.gettimeout() is None

    run(main)


def test_owned_or_not() -> None:
    reader, writer = os.pipe()
    with fd_stream(reader, owned=False) as one:
        assert one.fileno() == reader
    os.fstat(reader)
    with fd_stream(reader):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        fd_stream(reader)
    os.close(writer)


def test_one_that_is_forgotten_is_closed_with_a_warning() -> None:
    before = descriptors()
    one, other = pipe()
    number = one.fileno()
    with pytest.warns(ResourceWarning, match=f"unclosed <FdStream fd {number}, r>, made at .*test_fdstream.py"):
        del one
    other.close()
    assert len(descriptors()) <= len(before) + 3


def test_files_on_a_disk_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(io.UnsupportedOperation, match=r"open_file\(\)"):
        fd_stream(file.fileno())
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError, match="is a directory"):
            fd_stream(folder, owned=False)
    finally:
        os.close(folder)


def test_a_pipe_without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()

    def fail(fd: int, blocking: bool) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "set_blocking", fail)
    with pytest.raises(OSError, match="no"):
        pipe()
    assert len(descriptors()) <= len(before) + 3


def test_a_system_that_waits_for_sockets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fdstream, "check_system", lambda: (_ for _ in ()).throw(io.UnsupportedOperation()))
    with pytest.raises(io.UnsupportedOperation):
        pipe()
    with pytest.raises(io.UnsupportedOperation):
        fd_stream(0)


def test_threads_that_never_wait_let_others_run() -> None:
    ran: list[int] = []

    def other() -> Steps:
        while True:
            ran.append(1)
            yield from sleep(0)

    def main() -> Steps:
        running = newthread(other)
        one, there = pipe()
        with one, there:
            for _ in range(300):
                yield from there.sendall(b"x")
                yield from one.recv(1)
        running.cancel()
        yield from sleep(0)
        assert len(ran) > 5

    run(main)
