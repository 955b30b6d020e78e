"""A signal handler raises while others are installed or restored: in the end the signal has its original handler."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import socket2
from socket2 import run, sleep
from socket2.threads import catching as signals
from socket2.threads.catching import catching
from socket2.threads.ctrl_c import _calls
from socket2.threads.lock import is_held
from socket2.threads.wait import Wait

from ..injection import ExactInjection, Injection, Raised, at_each_place
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM here")

FILES = {
    str(signals.__file__),
    str(signal.__file__),
    *modules_in("socket2/threads", "signals"),
}  # signal.signal() is Python code, too


def mine(signum: int, frame: object) -> None: ...


@contextmanager
def handlers_of_mine() -> Iterator[None]:
    before = [(signum, signal.signal(signum, mine)) for signum in (signal.SIGTERM, signal.SIGUSR2)]
    try:
        yield
    finally:
        for signum, handler in before:
            signal.signal(signum, handler)


def attempt(at: int, *, installing: bool, putting_back: bool) -> str:
    """Return where it raised, if it did."""
    caught: list[int] = []

    def main() -> Steps:
        catcher = catching([signal.SIGTERM, signal.SIGUSR2], caught.append)
        injection = ExactInjection(at, FILES)
        with suppress(Raised):
            if installing:
                with injection:
                    yield from catcher.begin()
            else:
                yield from catcher.begin()
        if not injection.where and installing:
            assert signal.getsignal(signal.SIGTERM) is not mine
            signal.raise_signal(signal.SIGTERM)
        with suppress(Raised):
            if putting_back:
                with injection:
                    catcher.end()
            else:
                catcher.end()
        return injection.where

    with handlers_of_mine():
        where: str = run(main)
        assert not is_held(), where
        for signum in (signal.SIGTERM, signal.SIGUSR2):
            assert signal.getsignal(signum) is mine, where
            assert not signals._catching.get(signum), where
        # A note that is left behind changes nothing.
        signals._put_back(list(signals._previous))
        assert signal.getsignal(signal.SIGTERM) is mine, where
        assert not signals._previous
    return where


@pytest.mark.parametrize("what", ["installing", "putting_back"])
def test_raised_at_each_point(what: str) -> None:
    at, where = 0, "somewhere"
    while where:
        at += 1
        where = attempt(at, installing=what == "installing", putting_back=what == "putting_back")
    assert at > 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_raised_at_each_point_of_a_block() -> None:
    """What one call would have ended, the next one ends: a handler may raise before the first instruction."""

    def attempt(injection: Injection) -> None:
        def main() -> Steps:
            block = socket2.signals(signal.SIGTERM)
            with suppress(Raised), injection:
                with block as got:
                    got._arrive(signal.SIGTERM)
                    got._arrive(signal.SIGTERM)
                    assert (yield from got.next()) == signal.SIGTERM
                    got._take_back(signal.SIGTERM)
            block.__exit__()
            yield from sleep(0)

        with handlers_of_mine():
            run(main)
            assert not is_held(), injection.where
            assert signal.getsignal(signal.SIGTERM) is mine, injection.where
            assert not any(signals._catching.values()), injection.where
            signals._put_back(list(signals._previous))
            assert signal.getsignal(signal.SIGTERM) is mine, injection.where
            assert not signals._previous

    assert at_each_place(attempt, FILES) > 20


def test_who_waits_for_the_main_os_thread_is_told() -> None:
    """Another OS thread has asked for it. The installation in the main one is interrupted between two turns."""
    with handlers_of_mine():
        at = 0
        while True:
            at += 1
            installed = Wait("signal handlers")
            catcher = catching([signal.SIGTERM, signal.SIGUSR2], lambda signum: None)
            injection = ExactInjection(at, FILES)
            with suppress(Raised), injection:
                catcher._install(installed)
            catcher.end()
            if not injection.where:
                break
            assert installed.done or injection.where.startswith("catching._install"), injection.where
        assert at > 5
        assert not _calls
