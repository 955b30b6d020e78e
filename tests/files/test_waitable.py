"""wait_readable() and wait_writable(): whatever is waited for stays as it was."""

from __future__ import annotations

import ctypes
import io
import os
import select
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    Busy,
    Cancelled,
    Closed,
    connect,
    listen,
    newthread,
    run,
    sleep,
    timeout,
    wait_readable,
    wait_writable,
)
from socket2.files import waitable

from ..conftest import descriptors
from ..pipes import fill, make_room

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.usefixtures("poller")


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    made = os.pipe()
    yield made
    for fd in made:
        with suppress(OSError):
            os.close(fd)


def test_a_wait_ends_when_there_is_data_and_leaves_everything_as_it_was(ends: tuple[int, int]) -> None:
    reader, writer = ends

    def main() -> Steps:
        yield from sleep(0)  # the loop has opened what it needs
        before = descriptors()
        waiting = newthread(wait_readable, reader)
        yield from sleep(0)
        assert not waiting.done
        os.write(writer, b"data")
        yield from waiting.join()
        yield from wait_readable(reader)
        assert os.read(reader, 10) == b"data"
        assert descriptors() == before
        assert os.get_blocking(reader)
        assert os.get_blocking(writer)

    run(main)


def test_a_wait_until_there_is_room(ends: tuple[int, int]) -> None:
    reader, writer = ends
    fill(writer)

    def main() -> Steps:
        waiting = newthread(wait_writable, writer)
        yield from sleep(0)
        assert not waiting.done
        make_room(reader)
        yield from waiting.join()
        yield from wait_writable(writer)

    run(main)


def test_the_end_of_the_other_side_ends_both_waits(ends: tuple[int, int]) -> None:
    reader, writer = ends
    full = os.pipe()
    fill(full[1])

    def main() -> Steps:
        reading, writing = newthread(wait_readable, reader), newthread(wait_writable, full[1])
        yield from sleep(0)
        os.close(writer)
        os.close(full[0])
        yield from reading.join()
        yield from writing.join()
        assert os.read(reader, 10) == b""
        with pytest.raises(BrokenPipeError):
            os.write(full[1], b"x")

    run(main)
    os.close(full[1])


def test_awaited_in_an_async_function(ends: tuple[int, int]) -> None:
    async def main() -> None:
        await wait_writable(ends[1])
        os.write(ends[1], b"x")
        await wait_readable(ends[0])

    run(main)


def test_objects_with_a_descriptor() -> None:
    one, other = socket.socketpair()

    def main() -> Steps:
        waiting = newthread(wait_readable, one)
        yield from sleep(0)
        other.send(b"x")
        yield from waiting.join()
        yield from wait_writable(one)
        assert one.getblocking()

    with one, other:
        run(main)


def test_a_socket_of_ours_and_its_timeout() -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener:
            accepting = newthread(wait_readable, listener)
            with (yield from connect(listener.local_address)) as client:
                yield from accepting.join()
                with (yield from listener.accept()) as conn:
                    yield from wait_writable(client)
                    client.settimeout(0.01)
                    with pytest.raises(TimeoutError):
                        yield from wait_readable(client)
                    yield from conn.sendall(b"x")
                    client.settimeout(None)
                    yield from wait_readable(client)
                    assert (yield from client.recv(10)) == b"x"

    run(main)


def test_a_descriptor_of_a_socket_of_ours_while_the_socket_receives() -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, (yield from connect(*listener.local_address)) as client:
            with (yield from listener.accept()) as conn:
                receiving = newthread(client.recv, 10)
                yield from sleep(0)
                waiting = newthread(wait_readable, client.fileno())
                yield from sleep(0)
                waiting.cancel()
                with pytest.raises(Cancelled):
                    yield from waiting.join()
                yield from conn.sendall(b"x")
                assert (yield from receiving.join()) == b"x"

    run(main)


def test_a_second_thread_in_the_same_direction_is_refused(ends: tuple[int, int]) -> None:
    reader, writer = ends

    def main() -> Steps:
        waiting = newthread(wait_readable, reader, name="the first")
        yield from sleep(0)
        with pytest.raises(Busy, match="'the first' waits until fd"):
            yield from wait_readable(reader)
        os.write(writer, b"x")
        yield from waiting.join()
        yield from wait_readable(reader)

    run(main)


def test_both_directions_at_once() -> None:
    one, other = socket.socketpair()
    one.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            one.send(bytes(65536))

    def main() -> Steps:
        reading, writing = newthread(wait_readable, one), newthread(wait_writable, one)
        yield from sleep(0)
        assert not reading.done
        assert not writing.done
        other.send(b"x")
        yield from reading.join()
        while not writing.done:
            other.recv(1 << 20)
            yield from sleep(0)

    with one, other:
        run(main)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_wait_that_is_given_up_leaves_nothing(ends: tuple[int, int], how: str) -> None:
    reader, writer = ends

    def main() -> Steps:
        yield from sleep(0)
        before = descriptors()
        if how == "timeout":
            with pytest.raises(TimeoutError):
                with timeout(0.01):
                    yield from wait_readable(reader)
        else:
            waiting = newthread(wait_readable, reader)
            yield from sleep(0)
            waiting.cancel()
            with pytest.raises(Cancelled):
                yield from waiting.join()
        assert descriptors() == before
        os.write(writer, b"x")
        yield from wait_readable(reader)
        assert os.read(reader, 10) == b"x"

    run(main)


@pytest.mark.parametrize("duplicate", [False, True])
@pytest.mark.parametrize("reused", [False, True])
def test_a_descriptor_that_is_closed_while_a_thread_waits(
    monkeypatch: pytest.MonkeyPatch, duplicate: bool, reused: bool
) -> None:
    monkeypatch.setattr(waitable, "LOOK_S", 0.01)
    with ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, writer)

        def main() -> Steps:
            yield from sleep(0)
            waiting = newthread(wait_readable, reader)
            yield from sleep(0)
            if duplicate:
                stack.callback(os.close, os.dup(reader))
            os.close(reader)
            if reused:
                other, other_writer = os.pipe()
                stack.callback(os.close, other_writer)
                stack.callback(os.close, reader)
                if other != reader:
                    os.dup2(other, reader)
                    os.close(other)
                later = newthread(wait_readable, reader)  # the new file is nobody's yet
            with pytest.raises(Closed, match=f"fd {reader} was closed while a thread waited for it"):
                yield from waiting.join()
            if reused:
                assert not later.done
                os.write(other_writer, b"x")
                yield from later.join()

        run(main)


def test_files_on_a_disk_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:

        def main() -> Steps:
            for what in (file, file.fileno()):
                with pytest.raises(io.UnsupportedOperation, match=r"regular file.*open_file\(\).*call_in_thread\(\)"):
                    yield from wait_readable(what)
                with pytest.raises(io.UnsupportedOperation, match="regular file"):
                    yield from wait_writable(what)
            folder = os.open(tmp_path, os.O_RDONLY)
            with pytest.raises(io.UnsupportedOperation, match="directory"):
                yield from wait_readable(folder)
            os.close(folder)

        run(main)


def test_what_never_blocks_is_ready_at_once() -> None:
    with Path(os.devnull).open("r+b") as null:

        def main() -> Steps:
            yield from wait_readable(null)
            yield from wait_writable(null)

        run(main)


def test_descriptors_that_are_not_open(ends: tuple[int, int]) -> None:
    def main() -> Steps:
        os.close(ends[0])
        for what in (ends[0], -1):
            with pytest.raises(OSError, match=r"Bad file descriptor|closed descriptor"):
                yield from wait_readable(what)
        for wrong in ("0", None, 1.5):
            with pytest.raises((TypeError, AttributeError)):
                yield from wait_readable(wrong)  # type: ignore[arg-type]

    run(main)


def test_outside_a_thread(ends: tuple[int, int]) -> None:
    with pytest.raises(RuntimeError, match="only inside a thread"):
        wait_readable(ends[0])


def test_waits_that_end_at_once_let_others_run(ends: tuple[int, int]) -> None:
    ran: list[int] = []

    def other() -> Steps:
        while True:
            ran.append(1)
            yield from sleep(0)

    def main() -> Steps:
        running = newthread(other)
        for _ in range(1000):
            yield from wait_writable(ends[1])
        running.cancel()
        yield from sleep(0)
        assert len(ran) > 10

    run(main)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfd")
def test_a_process_by_its_pidfd() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pidfd = os.pidfd_open(child.pid)

    def main() -> Steps:
        waiting = newthread(wait_readable, pidfd)
        yield from sleep(0)
        assert not waiting.done
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        yield from waiting.join()
        assert child.poll() == 0

    run(main)
    os.close(pidfd)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
def test_nothing_stays_registered(ends: tuple[int, int]) -> None:
    """The kernel lists for each epoll what it watches."""

    def text_of(path: Path) -> str:
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            return path.read_text()
        return ""

    def watched() -> set[str]:
        lines = [line for entry in Path("/proc/self/fdinfo").iterdir() for line in text_of(entry).splitlines()]
        return {line for line in lines if line.startswith("tfd:") and int(line.split()[1]) in ends}

    def main() -> Steps:
        with suppress(TimeoutError), timeout(0.01):
            yield from wait_readable(ends[0])
        yield from wait_writable(ends[1])
        assert not watched()

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="this system has no inotify")
def test_changes_of_a_directory(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None)
    fd = libc.inotify_init1(0)
    assert libc.inotify_add_watch(fd, os.fsencode(tmp_path), 0x100) > 0  # IN_CREATE

    def main() -> Steps:
        waiting = newthread(wait_readable, fd)
        yield from sleep(0)
        assert not waiting.done
        (tmp_path / "file").touch()
        yield from waiting.join()
        assert b"file" in os.read(fd, 1000)

    run(main)
    os.close(fd)
