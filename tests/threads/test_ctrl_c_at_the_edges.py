"""A signal handler raises, for example by Ctrl-C, while a loop starts or ends: afterwards the loop does not run.

A trace function raises before each line of that code in turn.
"""

from __future__ import annotations

import linecache
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from socket2 import poll, run, start
from socket2.threads import joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler

from ..sources import modules_in

EDGES = modules_in("socket2/threads", "ctrl_c member crew")

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are for the main OS thread"
)


def _releases(frame: FrameType) -> bool:
    """Return whether this is the end of a `with` block: a trace function runs there, but no signal handler could."""
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    entry = current_scheduler().entry
    return text.lstrip().startswith("with ") and (is_held() or entry._is_owned())  # type: ignore[attr-defined]


class Injection:
    """Calls `what` before the line of that number. `count`: the number of lines."""

    def __init__(self, at: int, what: Callable[[], object]) -> None:
        self._at = at
        self._what = what
        self.count = 0

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._step if frame.f_code.co_filename in EDGES else None

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" and not _releases(frame):
            self.count += 1
            if self.count == self._at:
                self._what()
        return self._step

    def __enter__(self) -> Injection:
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def raises() -> None:
    """Raise as a foreign signal handler might."""
    raise KeyboardInterrupt


def nothing() -> str:
    return "done"


LOOPS: dict[str, Callable[[], object]] = {"start": start, "poll": lambda: poll(0), "run": lambda: run(nothing)}


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("what", [ctrl_c, raises])
@pytest.mark.parametrize("loop", LOOPS)
def test_before_each_line(loop: str, what: Callable[[], object], shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    hooks = sys.get_asyncgen_hooks()
    at, count, interrupted = 0, sys.maxsize, 0
    while at <= count:
        with Injection(at, what) as injection:
            try:
                LOOPS[loop]()
            except KeyboardInterrupt:
                interrupted += 1
        where = f"before line {at}"
        member = current_member()
        assert not member.running, where
        assert member.current is None, where
        assert member._main is None, where
        assert not current_scheduler().loops, where
        crew = current_scheduler().crew
        assert crew is None or not crew.members, where
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, where
        assert signal.set_wakeup_fd(-1) == -1, where
        assert sys.get_asyncgen_hooks() == hooks, where
        if at == 0:
            count = injection.count
            assert count > 30
        member._ctrl_c.noted = 0  # of a signal that came at the very end
        member._escaping = None
        current_scheduler().threads.clear()  # that of run(), which an exception may have kept from its first step
        current_scheduler().ready.clear()
        assert run(nothing) == "done", where
        at += 1
    assert interrupted > count / 2
    assert not is_held()


@pytest.mark.parametrize("what", [ctrl_c, raises])
def test_somebody_elses_wakeup_descriptor_is_there_again(what: Callable[[], object]) -> None:
    fd = current_scheduler().poller.wakeup_fileno()  # that of any socket
    at, count = 0, sys.maxsize
    while at <= count:
        signal.set_wakeup_fd(fd)
        with Injection(at, what) as injection:
            try:
                start()
            except KeyboardInterrupt:
                pass
        assert signal.set_wakeup_fd(-1) == fd, f"before line {at}"
        if at == 0:
            count = injection.count
        current_member()._ctrl_c.noted = 0
        at += 1
