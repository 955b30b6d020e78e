"""Functions called at their time: never early, without drift, of any kind, even if they fail."""

from __future__ import annotations

import math
from collections.abc import Generator
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, newthread, run, runafter, runat, runevery, sleep, start, suspend
from socket2.threads import jobs

Steps = Generator[Any, Any, Any]


class Clock:
    """A clock that moves only when somebody sleeps, and then a little too far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, oversleeps_s: float) -> None:
        self.now = 1000.0
        self._oversleeps_s = oversleeps_s
        monkeypatch.setattr(jobs, "now", lambda: self.now)
        monkeypatch.setattr(jobs, "sleep", self.sleep)

    def sleep(self, seconds: float) -> Any:
        self.now += seconds + self._oversleeps_s
        return sleep(0)


async def coroutine(results: list[Any]) -> str:
    await sleep(0.001)
    results.append(monotonic())
    return "coroutine"


def generator(results: list[Any]) -> Steps:
    yield from sleep(0.001)
    results.append(monotonic())
    return "generator"


def plain(results: list[Any]) -> str:
    results.append(monotonic())
    return "plain"


@pytest.mark.parametrize("func", [plain, generator, coroutine])
def test_a_job_runs_once_at_its_time_and_never_early(func: Any) -> None:
    def main() -> Steps:
        results: list[float] = []
        now = monotonic()
        times = [now + 0.02, now + 0.0103, now - 5, now]
        threads = [runat(when, func, results) for when in times]
        outcomes = []
        for thread in threads:
            outcomes.append((yield from thread.join()))
        assert outcomes == [func.__name__] * 4
        assert all(when <= at for when, at in zip(sorted(times), results, strict=True))
        begun = monotonic()
        yield from runafter(0.01, func, results).join()
        assert monotonic() >= begun + 0.01

    run(main)


def test_a_cancelled_job_does_not_run_or_ends_where_it_is() -> None:
    def main() -> Steps:
        trail: list[str] = []

        def job() -> Steps:
            trail.append("begun")
            try:
                yield from suspend()
            finally:
                trail.append("ended")

        for thread in (runafter(1000, job), runafter(0, job), runevery(1000, job), runat(math.inf, job)):
            yield from sleep(0.002)
            assert thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        assert trail == ["begun", "ended"]

    run(main)


def test_every_so_often_without_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, oversleeps_s=0.25)
    at: list[float] = []

    def job() -> bool:
        at.append(clock.now - 1000)
        return len(at) < 5

    run(lambda: runevery(1, job).join())
    assert at == [1.25, 2.25, 3.25, 4.25, 5.25]


def test_times_that_pass_while_it_runs_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, oversleeps_s=0)
    at: list[float] = []

    def job() -> bool:
        at.append(clock.now - 1000)
        clock.now += 2.5 if len(at) == 1 else 1  # the second time it takes exactly as long as the interval
        return len(at) < 4

    run(lambda: runevery(1, job).join())
    assert at == [1, 4, 6, 8]


def test_an_exception_is_reported_and_the_next_time_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: reported.append(f"{thread.name}: {error}"))
    count = 0

    async def job() -> object:
        nonlocal count
        count += 1
        if count < 3:
            raise ValueError(f"number {count}")
        return False

    run(lambda: runevery(0.001, job).join())
    name = job.__qualname__
    assert reported == [f"{name}: number 1", f"{name}: number 2"]


def test_a_crashhook_that_is_no_plain_function_hides_no_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def hook(thread: object, error: object) -> Steps:
        yield

    monkeypatch.setattr("socket2.thread.crashhook", hook)

    def fails() -> None:
        raise ValueError("of a thread")

    socket2.newthread(fails)
    printed = capfd.readouterr().err
    assert "ValueError: of a thread" in printed
    assert "TypeError: crashhook must be a plain function" in printed


def test_an_exception_of_a_single_job_is_reported_unless_it_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: reported.append(str(error)))

    def fails() -> None:
        raise ValueError("of a job")

    def main() -> Steps:
        with pytest.raises(ValueError, match="of a job"):
            yield from runafter(0.001, fails).join()
        assert not reported
        runafter(0.001, fails)
        yield from sleep(0.005)
        assert reported == ["of a job"]

    run(main)


def test_jobs_run_while_the_loop_does_and_keep_it_running() -> None:
    trail: list[str] = []
    runat(monotonic() + 0.002, trail.append, "second")
    runat(0, trail.append, "first")
    assert start()
    assert trail == ["first", "second"]


def test_what_is_no_time_and_no_function() -> None:
    for wrong in (-1, math.nan):
        for call in (runafter, runevery):
            with pytest.raises(ValueError, match="negative"):
                call(wrong, print)
    with pytest.raises(ValueError, match="must be positive"):
        runevery(0, print)
    with pytest.raises(ValueError, match="NaN"):
        runat(math.nan, print)
    with pytest.raises(TypeError):
        runat("now", print)  # type: ignore[call-overload]
    jobs: list[Any] = [runat, runafter, runevery]
    for job in jobs:
        with pytest.raises(TypeError, match="needs a function"):
            job(1, 5)


def test_a_job_has_the_name_of_its_function() -> None:
    def main() -> Steps:
        thread = runafter(0, plain, [])
        assert thread.name == "plain"
        yield from thread.join()
        assert (yield from newthread(runafter(0, plain, []).join).join()) == "plain"

    run(main)
