"""A loop for one test, without pytest's plugin."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import newthread, sleep, suspend
from socket2.testing import Hung, LeftBehind, Loop, end_os_threads, held_port
from socket2.threads.scheduler import current_scheduler, local

Steps = Generator[Any, Any, Any]


@pytest.fixture(autouse=True)
def os_threads() -> Generator[None, None, None]:
    yield
    end_os_threads()


def sleeper() -> Steps:
    yield from sleep(3600)


def test_it_takes_the_place_of_the_former_loop() -> None:
    former = current_scheduler()
    with Loop("select") as loop:
        assert current_scheduler() is not former
        assert current_scheduler().poller.name == "select"
        assert loop.run(lambda number, plus: number + plus, 40, plus=2) == 42
    assert current_scheduler() is former


def test_it_cannot_be_inside_a_thread() -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="already|running"), Loop():
            pass

    socket2.run(main)


@pytest.mark.parametrize("limit_s", [0, -1, float("nan")])
def test_a_limit_is_more_than_nothing(limit_s: float) -> None:
    with pytest.raises(ValueError, match="limit_s must be more than 0 seconds"):
        Loop(limit_s=limit_s)


def test_what_is_left_is_an_error_and_is_cancelled() -> None:
    threads = []
    with pytest.raises(LeftBehind, match="thread 'sleeper', waiting for sleep of 3600 s"), Loop() as loop:
        loop.run(lambda: threads.append(newthread(sleeper)))
    assert threads[0].done
    assert local.scheduler is None


def test_an_error_of_the_block_comes_first() -> None:
    with pytest.raises(KeyError), Loop() as loop:
        loop.run(newthread, sleeper)
        raise KeyError


def test_several_errors_of_the_background_are_all_raised() -> None:
    def fail(kind: type[Exception]) -> Steps:
        yield from sleep(0)
        raise kind

    def main() -> Steps:
        newthread(fail, KeyError)
        newthread(fail, OSError)
        yield from suspend()

    with Loop() as loop, pytest.raises(ExceptionGroup) as caught:
        loop.run(main)
    assert {type(error) for error in caught.value.exceptions} == {KeyError, OSError}


def test_an_error_between_two_runs_is_raised_by_the_next_one() -> None:
    def fail() -> Steps:
        yield from sleep(0)
        raise KeyError

    with Loop() as loop:
        loop.run(newthread, fail)
        with pytest.raises(KeyError):
            loop.run(sleep, 0)
        loop.run(sleep, 0)


def test_a_run_that_takes_too_long_tells_what_each_thread_does() -> None:
    def main() -> Steps:
        worker = newthread(sleeper)
        try:
            yield from suspend()
        finally:
            worker.cancel()
            yield from sleep(0)

    with Loop(limit_s=1) as loop:
        with pytest.raises(Hung, match=r"(?s)not ended within 1 s.*main +waiting.*sleeper +waiting"):
            loop.run(main)
        loop.run(sleep, 0)


def test_errors_and_leaks_may_be_allowed(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Steps:
        yield from sleep(0)
        raise KeyError("expected")

    def main() -> Steps:
        newthread(fail)
        newthread(sleeper)
        yield from sleep(0.01)

    with Loop(allow_errors=True, allow_leaks=True) as loop:
        loop.run(main)
    assert "expected" in caplog.text


def test_the_clock_jumps() -> None:
    def main() -> Steps:
        with pytest.raises(TimeoutError), socket2.timeout(86400):
            yield from suspend()
        return (yield from socket2.call_in_thread(lambda: 42))

    with Loop(autojump=True) as loop:
        assert loop.run(main) == 42
        assert loop.clock is not None
        assert round(loop.clock.passed_s) == 86400


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_nobody_else_gets_a_port_that_is_held(host: str) -> None:
    with held_port(host) as port, socket2.listen(host, port) as listener:
        assert listener.getsockname()[1] == port
