"""Children, pipes and files in threads that several OS threads serve."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Closed,
    Thread,
    newthread,
    open_file,
    pipe,
    process,
    run_process,
    serve_threads,
    sleep,
    stream,
    wait_readable,
)

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.usefixtures("poller")

OS_THREADS = 4
MANY = 12


def serve(*programs: Any) -> None:
    """Run many of each program at the same time."""
    failed: list[BaseException] = []

    def noted(program: Any, number: int) -> Steps:
        try:
            yield from program(number)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [newthread(noted, program, number) for number in range(MANY) for program in programs]
    assert serve_threads(OS_THREADS) is True
    assert all(thread.done for thread in threads)
    assert not failed


def test_children_and_pipes_and_files(tmp_path: Path) -> None:
    def talks(number: int) -> Steps:
        with process(["cat"], stdin=PIPE, stdout=PIPE) as cat:
            for _ in range(20):
                yield from cat.stdin.sendall(b"%d\n" % number)
                assert (yield from cat.stdout.recvline()) == b"%d" % number
            cat.stdin.close()
            assert (yield from cat.wait()) == 0

    def runs(number: int) -> Steps:
        done = yield from run_process(["tr", "0-9", "a-j"], input=b"%d" % number * 50_000, capture_output=True)
        assert len(done.stdout) == 50_000 * len(str(number))

    def pipes(number: int) -> Steps:
        reading, writing = pipe()

        def send() -> Steps:
            with writing:
                yield from writing.sendall(bytes(300_000))

        sending = newthread(send)
        with stream(reading) as lines:
            assert len((yield from lines.recvall())) == 300_000
        yield from sending.join()

    def writes(number: int) -> Steps:
        path = tmp_path / str(number)
        file = yield from open_file(path, "w")
        with file:
            for _ in range(10):
                yield from file.write("line\n")
        assert path.read_text() == "line\n" * 10

    serve(talks, runs, pipes, writes)


def test_what_is_cancelled_and_closed_meanwhile() -> None:
    def ends(thread: Thread[object], error: type[BaseException]) -> Steps:
        with pytest.raises((error, Cancelled)):
            yield from thread.join()

    def holds() -> Steps:
        with process(["sleep", "60"], stdout=PIPE) as sleeping:
            yield from sleeping.stdout.recvline()

    def cancels(number: int) -> Steps:
        for wait_s in (0, 0.001, 0.003):
            holding = newthread(holds)
            yield from sleep(wait_s)
            holding.cancel()
            yield from ends(holding, Cancelled)

    def closes(number: int) -> Steps:
        for wait_s in (0, 0.001, 0.003):
            reading, writing = pipe()
            receiving = newthread(reading.recv, 10)
            yield from sleep(wait_s)
            reading.close()
            writing.close()
            yield from ends(receiving, Closed)

    def gives_up(number: int) -> Steps:
        reader, writer = os.pipe()
        for wait_s in (0, 0.001, 0.003):
            waiting = newthread(wait_readable, reader)
            yield from sleep(wait_s)
            waiting.cancel()
            yield from ends(waiting, Cancelled)
        os.write(writer, b"x")
        yield from wait_readable(reader)
        os.close(reader)
        os.close(writer)

    serve(cancels, closes, gives_up)
