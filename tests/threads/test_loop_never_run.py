"""Threads of a loop that is never run: a warning names them when their OS thread, a call or the process ends."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from socket2 import call_in_thread, newthread, run, sleep, start, suspend
from socket2.threads import exiting
from socket2.threads.scheduler import local

Steps = Generator[Any, Any, Any]


def waiting() -> Steps:
    yield from sleep(0)


def test_no_warning_in_the_main_os_thread() -> None:
    """A Ctrl-C or sys.exit() may have come just before its loop."""
    thread = newthread(waiting, name="forgotten")
    exiting.clean_up()
    assert thread.done


def test_an_os_thread_ends_whose_loop_was_never_run() -> None:
    def in_an_os_thread() -> None:
        os_thread = threading.Thread(target=lambda: [newthread(waiting) for _ in range(7)])
        os_thread.start()
        os_thread.join()

    with pytest.warns(RuntimeWarning, match="^no loop was run .* 'waiting' and 2 more, so"):
        in_an_os_thread()


def test_a_call_in_an_os_thread_starts_a_thread_and_runs_no_loop() -> None:
    with pytest.warns(RuntimeWarning, match="^no loop was run .* 'waiting', so"):
        run(call_in_thread, lambda: newthread(waiting).name)


def test_the_warning_is_an_error_of_the_call() -> None:
    """If every warning is an error, as in these tests."""
    with pytest.raises(RuntimeWarning, match="^no loop was run"):
        run(call_in_thread, lambda: newthread(waiting).name)


def test_no_warning_if_the_loop_was_run() -> None:
    def other() -> None:
        newthread(suspend)
        start()

    def pooled() -> bool:
        newthread(waiting)
        try:
            return start()
        finally:
            local.scheduler = local.member = None

    os_thread = threading.Thread(target=other)
    os_thread.start()
    os_thread.join()
    assert run(call_in_thread, pooled)
