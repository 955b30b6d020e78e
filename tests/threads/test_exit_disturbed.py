"""At the exit of the process, code that raises or resumes at a bad moment does not keep other threads from ending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from socket2 import Cancelled, Thread, newthread, resume, run, sleep, suspend
from socket2.threads import exiting

from ..injection import RaisedError
from ..interop.peers import LIMIT_S

Steps = Generator[Any, Any, None]


def holds_on(dropped: list[str]) -> Steps:
    """Ignore each cancellation."""
    try:
        while True:
            try:
                yield from sleep(1e6)
            except Cancelled:
                pass
    finally:
        dropped.append("dropped")


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_signal_handler_that_raises_leaves_no_thread_undropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*_: object) -> None:
        raise RaisedError

    def raises_in_the_cleanup() -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            yield from sleep(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            yield from sleep(5)

    dropped: list[str] = []
    later: list[str] = []
    monkeypatch.setattr(exiting, "CLEANUP_S", 0.05)
    monkeypatch.setattr(exiting, "afterwards", [lambda: later.append("called")])
    was = signal.signal(signal.SIGUSR1, handler)
    try:
        newthread(raises_in_the_cleanup)
        newthread(holds_on, dropped)
        run(sleep, 0)
        with suppress(RaisedError):
            exiting.clean_up()
    finally:
        signal.signal(signal.SIGUSR1, was)
    assert dropped == ["dropped"]
    assert later == ["called"]


def test_a_dropped_thread_may_resume_one_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def suspended() -> Steps:
        yield from suspend()

    def resumes(other: Thread[object]) -> Steps:
        try:
            yield from sleep(1e6)
        finally:
            try:
                yield from sleep(1e6)
            finally:
                resume(other)

    monkeypatch.setattr(exiting, "CLEANUP_S", 0.05)
    newthread(resumes, newthread(suspended))
    run(sleep, 0)
    exiting.clean_up()
    assert capsys.readouterr().err == ""


PROGRAM = """
import socket2

def refuses():
    while True:
        try:
            yield from socket2.sleep(1e6)
        except BaseException:
            pass

async def refuses_too():
    while True:
        try:
            await socket2.sleep(1e6)
        except BaseException:
            pass

socket2.threads.exiting.CLEANUP_S = 0.05
socket2.newthread(refuses)
socket2.newthread(refuses_too)
socket2.run(socket2.sleep, 0)
"""


def test_a_thread_that_cannot_be_ended_does_not_keep_the_process() -> None:
    program = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=LIMIT_S)
    assert program.returncode == 0
