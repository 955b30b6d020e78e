"""A signal handler raises, for example by Ctrl-C, while a loop starts or ends: afterwards the loop does not run.

A trace function raises before each line of that code in turn.
"""

from __future__ import annotations

import linecache
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from socket2 import Cancelled, newthread, poll, run, scope, sleep, start
from socket2.threads import joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler

from ..injection import Place, PlacedInjection
from ..sources import modules_in

Steps = Generator[Any, Any, Any]

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


# How main ends after Ctrl-C.


def shielded() -> Steps:
    with scope(shield=True):
        ctrl_c()
        yield from sleep(0.001)
    return "a result"


def catches() -> Steps:
    ctrl_c()
    with suppress(Cancelled):
        yield from sleep(1e6)
    return "a result"


def in_its_last_step() -> Steps:
    yield from sleep(0)
    ctrl_c()
    return "a result"


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("main", [shielded, catches, in_its_last_step])
def test_ctrl_c_is_not_lost_if_main_returns(main: Callable[[], Steps], shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert run(nothing) == "done"


@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.parametrize("main", [shielded, catches, in_its_last_step])
def test_an_error_of_main_is_raised_instead(main: Callable[[], Steps], shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())

    def fails() -> Steps:
        yield from main()
        raise LookupError("of main")

    with pytest.raises(LookupError, match="of main"):
        run(fails)
    assert run(nothing) == "done"


def test_an_exit_in_the_last_step_of_main_hides_no_error() -> None:
    def exits() -> Steps:
        yield from ()
        sys.exit(3)

    def fails() -> Steps:
        newthread(exits)
        raise LookupError("of main")
        yield

    with pytest.raises(LookupError, match="of main"):
        run(fails)


# Two handlers that raise.


class Twice(PlacedInjection):
    """Raises at the place, and again at the point number `later` after that: where a function begins or ends."""

    def __init__(self, place: Place | None, files: set[str], later: int) -> None:
        super().__init__(place, files, KeyboardInterrupt, True)
        self._later = later

    def _is_here(self, frame: FrameType) -> bool:
        here = super()._is_here(frame)
        if here:
            sys.setprofile(self._profile)  # an exception of a trace function ends the tracing
        return here

    def _profile(self, frame: FrameType, event: str, arg: object) -> None:
        if event in ("call", "c_return") and "tests" not in Path(frame.f_code.co_filename).parts:
            self._later -= 1
            if self._later == 0:
                self.where += f", then {frame.f_code.co_qualname}, line {frame.f_lineno}"
                raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        super().__exit__(*error)


@pytest.mark.parametrize("later", [1, 2, 3, 4])
def test_two_handlers_that_raise_one_after_the_other(later: int) -> None:
    def attempt(place: Place | None) -> Twice:
        with suppress(KeyboardInterrupt), Twice(place, EDGES, later) as injection:
            start()
        with suppress(KeyboardInterrupt):  # what a handler has noted or posted
            start()
        assert not current_member().running, injection.where
        assert not current_scheduler().loops, injection.where
        assert run(nothing) == "done", injection.where
        return injection

    places = attempt(None).places()
    assert len(places) > 20
    for place in places:
        attempt(place)
