"""The steps of threads, in Python and in C. Both must behave in the same way, in normal and in special cases."""

from __future__ import annotations

import contextvars
import gc
import sys
import traceback
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import pytest

import pollers
import socket2
from pollers import STREAK_MAX, Cancelled
from socket2 import newthread
from socket2.threads import joining, member, stepping
from socket2.threads.member import Member, current_member
from socket2.threads.native import in_c
from socket2.threads.scheduler import Scheduler, current_scheduler
from socket2.threads.thread import Thread

Steps = Generator[Any, Any, Any]

IN_C: Any = in_c("_stepping")
WAYS = ["python", pytest.param("c", marks=pytest.mark.skipif(IN_C is None, reason="not built, or switched off"))]


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    step, step_shared = (
        (IN_C.step, IN_C.step_shared) if request.param == "c" else (stepping._step, stepping._step_shared)
    )
    monkeypatch.setattr(stepping, "step", step)
    monkeypatch.setattr(member, "step", step)
    monkeypatch.setattr(stepping, "step_shared", step_shared)
    monkeypatch.setattr(joining, "step_shared", step_shared)


@pytest.fixture(params=["private", "shared"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "shared":
        joining.share(current_scheduler())
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, BaseException]]:
    seen: list[tuple[str, BaseException]] = []
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: seen.append((thread.name, error)))
    return seen


class Waiting:
    """An object that a thread may yield, with every answer that park() and cancel() can give."""

    def __init__(self, parked: Any = False, cancels: bool = False) -> None:
        self.parked = parked
        self.cancels = cancels
        self.waiter: Any = None
        self.told: list[str] = []
        self.error: BaseException | None = None

    def park(self, waiter: Thread[object], /) -> bool:
        self.told.append("park")
        if isinstance(self.parked, BaseException):
            raise self.parked
        self.waiter = waiter
        return bool(self.parked)

    def cancel(self, error: BaseException, /) -> bool:
        self.told.append("cancel")
        self.error = error if self.cancels else None
        return self.cancels


def ready() -> None:
    """Step the threads in the ready queue, as a loop does. Those that a signal's exception leaves stay there."""
    scheduler, threads = current_scheduler(), list(current_scheduler().ready)
    scheduler.ready.clear()
    rest = iter(threads)
    try:
        if scheduler.crew is None:
            stepping.step(current_member(), rest)
        else:
            for thread in rest:
                stepping.step_shared(current_member(), thread)
    finally:
        scheduler.ready.extendleft(reversed(list(rest)))
        current_member().current = None
    current_member()._escape()


def waits(*waitings: Any, got: list[Any] | None = None) -> Steps:
    for waiting in waitings:
        try:
            answer = yield waiting
        except Exception as error:
            answer = error
        if got is not None:
            got.append(answer)
    return "done"


def test_it_waits_and_is_parked(kind: str) -> None:
    one, other = Waiting(), Waiting()
    thread = newthread(waits, one, other)
    assert thread.waiting_on is one
    assert one.waiter is thread
    assert current_member().current is None
    current_scheduler().ready.append(thread)
    ready()
    assert thread.waiting_on is other
    current_scheduler().ready.append(thread)
    ready()
    assert thread.result() == "done"
    assert thread.waiting_on is None
    assert [*one.told, *other.told] == ["park", "park"]


def test_while_it_runs_it_waits_for_nothing_and_is_the_current_one(kind: str) -> None:
    def look() -> Steps:
        for _ in range(2):
            thread = socket2.currentthread()
            seen.append((thread.waiting_on, thread))
            yield Waiting(True)

    seen: list[Any] = []
    thread = newthread(look)
    ready()
    assert seen == [(None, thread), (None, thread)]
    assert current_member().current is None
    ready()
    assert thread.done


def test_what_has_finished_already_goes_on_in_the_next_turn(kind: str) -> None:
    thread = newthread(waits, Waiting(True), Waiting(1))
    assert not thread.done
    assert list(current_scheduler().ready) == [thread]
    ready()
    assert list(current_scheduler().ready) == [thread]
    ready()
    assert thread.done


def test_what_is_no_wait_is_raised_where_it_was_yielded(kind: str) -> None:
    got: list[Any] = []
    broken = Waiting(OSError("no room"))
    thread = newthread(partial(waits, "text", broken, None, Waiting(), got=got))
    assert [type(answer) for answer in got] == [TypeError, OSError, TypeError]
    assert "which is not an operation" in str(got[0])
    assert got[1] is broken.parked
    assert not thread.done
    assert isinstance(thread.waiting_on, Waiting)
    current_scheduler().ready.append(thread)
    ready()
    assert thread.done


@pytest.mark.parametrize("yielded", ["text", None], ids=repr)
def test_what_is_no_wait_is_raised_also_if_it_is_yielded_first(kind: str, yielded: object) -> None:
    got: list[Any] = []
    thread = newthread(partial(waits, yielded, got=got))
    assert [type(answer) for answer in got] == [TypeError]
    assert thread.done


def test_an_error_of_park_that_no_code_may_catch_leaves_the_loop(kind: str) -> None:
    broken = newthread(waits, Waiting(True), Waiting(KeyboardInterrupt("in park")))
    thread = newthread(waits, Waiting(True))
    with pytest.raises(KeyboardInterrupt, match="in park"):
        ready()
    assert current_member().current is None
    ready()
    assert thread.done  # those behind it were not lost
    current_scheduler().ready.append(broken)
    ready()
    assert broken.done


def test_its_end(kind: str, crashes: list[Any]) -> None:
    def fails() -> Steps:
        yield Waiting(True)
        raise LookupError("lost")

    def returns() -> Steps:
        yield Waiting(True)
        return 7

    bad, good = newthread(fails), newthread(returns)
    while not (bad.done and good.done):
        ready()
    assert good.result() == 7
    [(name, error)] = crashes
    assert name.endswith("fails")
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["fails"]
    with pytest.raises(LookupError, match="lost"):
        bad.result()


def test_what_raises_while_an_end_is_told_of_names_the_first_error(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> Steps:
        yield Waiting(True)
        raise LookupError("lost")

    def hook(thread: Thread[object], error: BaseException) -> None:
        assert sys.exc_info()[1] is error
        raise KeyError("hook")

    monkeypatch.setattr("socket2.thread.crashhook", hook)
    newthread(fails)
    ready()
    told = capsys.readouterr().err
    assert told.index("LookupError: lost") < told.index("KeyError: 'hook'")
    assert sys.exc_info()[1] is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_program_leaves_the_loop_after_the_others_were_stepped(kind: str, error: BaseException) -> None:
    def exits() -> Steps:
        yield Waiting(True)
        raise error

    newthread(exits)
    other = newthread(waits, Waiting(True))
    with pytest.raises(type(error)):
        ready()
    assert other.done


def test_an_interruption_that_came_before_the_wait_ends_it(kind: str) -> None:
    def worker() -> Steps:
        thread = socket2.currentthread()
        assert current_scheduler().interruptions.end_wait(thread, error) is False
        try:
            yield waiting
        except Cancelled as raised:
            return raised
        return waiting.error

    error = Cancelled("for a test")
    waiting = Waiting(False, cancels=True)
    thread = newthread(worker)
    assert waiting.told == ["park", "cancel"]
    ready()
    assert thread.result() is error
    assert not current_scheduler().ready


def test_an_interruption_that_cannot_end_this_wait_stays_for_the_next(kind: str) -> None:
    def worker() -> Steps:
        current_scheduler().interruptions.end_wait(socket2.currentthread(), Cancelled("for a test"))
        yield first
        yield second

    first, second = Waiting(True), Waiting(False, cancels=True)
    thread = newthread(worker)
    assert first.told == ["park", "cancel"]
    assert second.told == []
    poller = current_scheduler().poller
    ready()
    assert second.told == ["park", "cancel"]
    assert poller.streak == STREAK_MAX  # an operation would have yielded before it attempted anything
    ready()
    assert thread.done


def test_each_thread_runs_in_its_own_context(kind: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outer")

    def worker(value: str) -> Steps:
        before = variable.get()
        variable.set(value)
        yield Waiting(True)
        return before, variable.get()

    threads = [newthread(worker, value) for value in ("one", "two")]
    while not all(thread.done for thread in threads):
        ready()
    assert [thread.result() for thread in threads] == [("outer", "one"), ("outer", "two")]
    assert variable.get() == "outer"


def test_coroutines_and_other_awaitables(kind: str) -> None:
    class Awaitable:
        def __await__(self) -> Steps:
            return waits(Waiting(True))

    async def worker() -> Any:
        return await Awaitable()

    threads = [newthread(worker), newthread(Awaitable())]
    while not all(thread.done for thread in threads):
        ready()
    assert [thread.result() for thread in threads] == ["done", "done"]


def test_a_thread_of_another_loop_is_told_so(kind: str, crashes: list[Any]) -> None:
    other = Member(Scheduler())
    thread = newthread(waits, Waiting(), Waiting(False, cancels=True))
    if kind == "private":
        stepping.step(other, iter([thread]))
    else:
        stepping.step_shared(other, thread)
    assert other.current is None
    while not thread.done:
        current_member().make_posted_calls()
        ready()
    assert ["belongs to the loop of another OS thread" in str(error) for _, error in crashes] in ([], [True])
    other.scheduler.poller.shutdown()


def test_threads_that_start_threads(kind: str) -> None:
    def worker(depth: int) -> Steps:
        assert socket2.currentthread().name == str(depth)
        if depth:
            newthread(worker, depth - 1, name=str(depth - 1))
        assert socket2.currentthread().name == str(depth)
        yield Waiting(True)
        return depth

    thread = newthread(worker, 100, name="100")
    while current_scheduler().threads:
        ready()
    assert thread.result() == 100


def test_a_thread_that_ends_leaves_no_cycle(kind: str, crashes: list[Any]) -> None:
    def fails() -> Steps:
        yield Waiting(True)
        raise LookupError

    gc.collect()
    gc.disable()
    try:
        newthread(fails)
        socket2.start()
        crashes.clear()
        assert not [found for found in gc.get_objects() if isinstance(found, Thread)]
    finally:
        gc.enable()


def test_what_is_no_thread_is_refused() -> None:
    step: Any = stepping.step
    step_shared: Any = stepping.step_shared
    pairs: list[tuple[Any, ...]] = [
        (),
        (current_member(),),
        (1, []),
        (current_member(), ["text"]),
        (current_member(), 1),
    ]
    for pair in pairs:
        with pytest.raises((TypeError, AttributeError)):
            step(*pair)
    pairs = [(), (current_member(), "text"), (1, 2), (1, 2, 3)]
    for pair in pairs:
        with pytest.raises((TypeError, AttributeError)):
            step_shared(*pair)


def test_a_thread_without_its_slots_is_an_error_and_no_crash(crashes: list[Any], kind: str) -> None:
    thread = newthread(waits, Waiting())
    del thread.waiting_on
    current_scheduler().ready.append(thread)
    ready()
    assert thread.done


@pytest.mark.skipif(pollers.native_status() != "yes", reason="the parts in C were not built, or are switched off")
@pytest.mark.parametrize(
    ("name", "package"),
    [(f"_{name}", "socket2") for name in ("stepping", "shortcut", "records", "http")] + [("_once", "pollers")],
)
def test_where_one_part_in_c_was_built_so_were_all_and_each_is_found(name: str, package: str) -> None:
    assert in_c(name, package) is not None
