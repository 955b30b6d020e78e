"""Descriptors that are no sockets, and descriptors that stay somebody else's."""

from __future__ import annotations

import io
import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from pollers import Busy, Cancelled, Closed, Foreign, Handle

from ..conftest import descriptors
from ..pipes import fill, make_room
from .driver import Driver, does


@pytest.fixture(autouse=True)
def has_files(driver: Driver) -> None:
    if driver.kind == "simulated":
        pytest.skip("a simulated kernel has sockets only")


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for fd in ends:
            with suppress(OSError):
                os.close(fd)


def foreign(driver: Driver, fd: int, writing: bool = False) -> tuple[Foreign, Handle]:
    made = driver.poller.foreign(fd, writing)
    return made, driver.attach(made.sock)


# Those that a handle owns.


def test_a_file_becomes_readable_and_ends(driver: Driver) -> None:
    reader, writer = os.pipe()
    handle = driver.attach(driver.poller.file(reader))
    task = driver.spawn(does(handle.wait_readable()))
    assert not task.done
    os.write(writer, b"data")
    driver.finish(task)
    driver.run(does(handle.wait_readable()))  # nothing was consumed
    assert os.read(reader, 100) == b"data"
    task = driver.spawn(does(handle.wait_readable()))
    assert not task.done
    os.close(writer)
    driver.finish(task)
    assert os.read(reader, 100) == b""


def test_a_file_becomes_writable(driver: Driver) -> None:
    with pipe() as (reader, writer):
        fill(writer)
        handle = driver.attach(driver.poller.file(os.dup(writer)))
        task = driver.spawn(does(handle.wait_writable()))
        assert not task.done
        make_room(reader)
        driver.finish(task)


def test_a_handle_closes_its_file_and_ends_the_waits(driver: Driver) -> None:
    before = descriptors()
    reader, writer = os.pipe()
    handle = driver.attach(driver.poller.file(reader))
    task = driver.spawn(does(handle.wait_readable()))
    handle.close()
    driver.until(lambda: task.done)
    with pytest.raises(Closed):
        task.outcome()
    os.close(writer)
    assert descriptors() == before


def test_a_handle_gives_its_file_back(driver: Driver) -> None:
    with pipe() as (reader, _):
        handle = driver.attach(driver.poller.file(reader))
        task = driver.spawn(does(handle.wait_readable()))
        assert handle.detach().fileno() == reader
        driver.until(lambda: task.done)
        assert isinstance(task.error, Closed)
        os.fstat(reader)


def test_attaching_does_not_make_a_file_non_blocking(driver: Driver) -> None:
    reader, writer = os.pipe()
    driver.attach(driver.poller.file(reader))
    driver.attach(driver.poller.file(writer))
    assert os.get_blocking(reader)
    assert os.get_blocking(writer)


def test_one_wait_for_each_direction_of_a_file(driver: Driver) -> None:
    reader, writer = os.pipe()
    handle = driver.attach(driver.poller.file(reader))
    waiting = driver.spawn(does(handle.wait_readable()))
    with pytest.raises(Busy):
        driver.run(does(handle.wait_readable()))
    assert driver.cancel(waiting)
    driver.until(lambda: waiting.done)
    assert isinstance(waiting.error, Cancelled)
    os.write(writer, b"x")
    driver.run(does(handle.wait_readable()))
    os.close(writer)


def test_a_file_that_is_not_open(driver: Driver) -> None:
    with pipe() as (reader, _):
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        driver.poller.file(reader)


def test_a_number_that_goes_from_a_file_to_a_socket(driver: Driver) -> None:
    """Somebody else has closed the descriptor of a handle. The handle leaves the next file with that number alone."""
    reader, writer = os.pipe()
    handle = driver.attach(driver.poller.file(reader))
    task = driver.spawn(does(handle.wait_readable()))
    os.close(reader)
    one, other = socket.socketpair()
    with other:
        number = one.detach()
        if number != reader:
            os.dup2(number, reader)
            os.close(number)
        later = driver.attach(socket.socket(fileno=reader))
        driver.until(lambda: task.done)
        assert isinstance(task.error, Closed)
        handle.close()
        other.send(b"alive")
        assert driver.run(does(later.recv(10))) == b"alive"
    os.close(writer)


# Those that stay somebody else's.


@contextmanager
def sources(tmp_path: Path) -> Iterator[dict[str, tuple[int, object]]]:
    """Yield descriptors that cannot be read yet, and what makes them readable."""
    with ExitStack() as stack, pipe() as (reader, writer):
        one, other = (stack.enter_context(sock) for sock in socket.socketpair())
        master, slave = os.openpty()
        stack.callback(os.close, master)
        stack.callback(os.close, slave)
        os.mkfifo(tmp_path / "fifo")
        fifo = os.open(tmp_path / "fifo", os.O_RDWR)
        stack.callback(os.close, fifo)
        made: dict[str, tuple[int, object]] = {
            "pipe": (reader, lambda: os.write(writer, b"x")),
            "socket": (one.fileno(), lambda: other.send(b"x")),
            "terminal": (slave, lambda: os.write(master, b"line\n")),
            "master": (master, lambda: os.write(slave, b"x")),
            "fifo": (fifo, lambda: os.write(fifo, b"x")),
        }
        if hasattr(os, "eventfd"):
            event = os.eventfd(0)
            stack.callback(os.close, event)
            made["eventfd"] = (event, lambda: os.eventfd_write(event, 1))
        if hasattr(select, "epoll"):
            epoll = stack.enter_context(select.epoll())
            epoll.register(event, select.EPOLLIN)
            made["epoll"] = (epoll.fileno(), lambda: os.eventfd_write(event, 1))
        yield made


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "master", "fifo", "eventfd", "epoll"])
def test_waiting_for_what_belongs_to_somebody_else(driver: Driver, tmp_path: Path, kind: str) -> None:
    with sources(tmp_path) as made:
        if kind not in made:
            pytest.skip("this system has none")
        fd, make_readable = made[kind]
        blocking = os.get_blocking(fd)
        before = descriptors()
        for _ in range(2):
            it, handle = foreign(driver, fd)
            given_up = driver.spawn(does(handle.wait_readable()))
            driver.give_up(given_up)
            assert isinstance(given_up.error, Cancelled)
            assert it.is_same()
            handle.close()
            assert descriptors() == before
        it, handle = foreign(driver, fd)
        task = driver.spawn(does(handle.wait_readable()))
        assert not task.done
        make_readable()  # type: ignore[operator]
        driver.finish(task)
        driver.run(does(handle.wait_readable()))
        assert it.is_same()
        handle.close()
        assert descriptors() == before
        assert os.get_blocking(fd) == blocking


def test_writing_to_what_belongs_to_somebody_else(driver: Driver) -> None:
    with pipe() as (reader, writer):
        fill(writer)
        it, handle = foreign(driver, writer, True)
        task = driver.spawn(does(handle.wait_readable()))
        assert not task.done
        make_room(reader)
        driver.finish(task)
        assert it.is_same()


def test_the_reader_of_what_is_written_to_has_gone(driver: Driver) -> None:
    with pipe() as (reader, writer):
        fill(writer)
        _, handle = foreign(driver, writer, True)
        task = driver.spawn(does(handle.wait_readable()))
        os.close(reader)
        driver.finish(task)


@pytest.mark.parametrize("duplicate", [False, True])
@pytest.mark.parametrize("reused", [False, True])
def test_what_is_closed_meanwhile_leaves_nothing(driver: Driver, duplicate: bool, reused: bool) -> None:
    with ExitStack() as stack, pipe() as (reader, writer):
        it, handle = foreign(driver, reader)
        task = driver.spawn(does(handle.wait_readable()))
        if duplicate:
            stack.callback(os.close, os.dup(reader))
        os.close(reader)
        if reused:
            other, other_writer = os.pipe()
            stack.callback(os.close, other_writer)
            if other != reader:
                os.dup2(other, reader)
                os.close(other)
        assert not it.is_same()
        driver.give_up(task)
        handle.close()
        polls = driver.poller.stats().events
        if duplicate:
            os.write(writer, b"x")
        driver.turn()
        driver.turn()
        assert driver.poller.stats().events == polls


def test_files_on_a_disk_are_refused(driver: Driver, tmp_path: Path) -> None:
    before = descriptors()
    with (tmp_path / "file").open("w+b") as file:
        with pytest.raises(PermissionError):
            driver.poller.foreign(file.fileno(), False)
    assert descriptors() == before


def test_a_descriptor_that_is_not_open(driver: Driver) -> None:
    with pipe() as (reader, _):
        pass
    before = descriptors()
    with pytest.raises(OSError, match="Bad file descriptor"):
        driver.poller.foreign(reader, False)
    assert descriptors() == before


def test_systems_without_queues_say_so(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    monkeypatch.delattr(select, "kqueue", raising=False)
    with pipe() as (reader, _), pytest.raises(io.UnsupportedOperation, match="call_in_thread"):
        driver.poller.foreign(reader, False)
