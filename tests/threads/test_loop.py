"""The loop: running, polling, stopping."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import Event, Queue, newthread, poll, resume, run, sleep, start, stop, suspend
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler

from .test_scheduler import pause

Steps = Generator[Any, Any, Any]


# The loop.


def test_run_returns_and_raises_what_main_does() -> None:
    def main(x: int) -> Steps:
        yield from sleep(0)
        if x < 0:
            raise LookupError(x)
        return x * 2

    assert run(main, 21) == 42
    with pytest.raises(LookupError):
        run(main, -1)
    assert run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_a_function_may_return_what_async_for_accepts() -> None:
    queue = Queue[int]()
    assert run(lambda: queue) is queue

    async def numbers() -> AsyncGenerator[int, None]:
        yield 1

    with pytest.raises(TypeError, match="async generator"):
        run(numbers)


def test_run_does_not_report_what_it_raises(caplog: pytest.LogCaptureFixture) -> None:
    def at_once() -> Steps:
        raise LookupError
        yield

    def later() -> Steps:
        yield from sleep(0)
        raise LookupError

    for main in (at_once, later):
        with pytest.raises(LookupError):
            run(main)
    assert caplog.text == ""


def test_run_leaves_the_other_threads_for_later() -> None:
    trail = []
    gate = Event()

    def other() -> Steps:
        yield from gate.wait()
        trail.append("other")

    def main() -> Steps:
        newthread(other)
        yield from sleep(0)

    run(main)
    assert trail == []
    gate.set()
    assert start() is True
    assert trail == ["other"]


def test_a_deadlock_is_told() -> None:
    def main() -> Steps:
        yield from suspend()

    with pytest.raises(RuntimeError, match="deadlock.*main"):
        run(main)
    (thread,) = current_scheduler().threads
    thread.cancel()
    start()


def test_two_threads_cannot_run_one_generator() -> None:
    """The first would wait forever for what the second took."""

    def generator() -> Steps:
        yield from sleep(0)

    async def coroutine() -> None:
        await sleep(0)

    def main() -> Steps:
        for made in (generator(), coroutine()):
            thread = newthread(made)
            with pytest.raises(RuntimeError, match="has begun already"):
                newthread(made)
            yield from thread.join()
            with pytest.raises(RuntimeError, match="has begun already"):
                newthread(made)

    run(main)


def test_start_returns_when_nothing_is_left() -> None:
    assert start() is True
    newthread(pause, 0.001)
    assert start() is True


def test_start_does_not_wait_for_threads_that_nothing_can_wake() -> None:
    def waits() -> Steps:
        return (yield from suspend())

    thread = newthread(waits)
    assert start() is True
    resume(thread, "now")
    assert start() is True
    assert thread.result() == "now"


def test_start_is_an_idle_timeout() -> None:
    def ticks() -> Steps:
        for _ in range(5):
            yield from sleep(0.03)

    begun = time.monotonic()
    thread = newthread(ticks)
    last = newthread(pause, 1000)
    assert start(0.1) is False
    assert thread.done, "it was never idle for so long while this went on"
    assert time.monotonic() - begun >= 0.25 - 0.001
    last.cancel()
    assert start() is True


def test_poll() -> None:
    assert poll() is False, "nothing to wait for"
    assert poll(0) is False
    thread = newthread(pause, 1000)
    assert poll(0) is False
    assert poll(-1) is False
    thread.cancel()
    assert poll(0) is True
    thread = newthread(pause, 0.01)
    while not thread.done:
        assert poll() is True
    assert poll(5) is False


def test_poll_waits_no_shorter_than_told() -> None:
    thread = newthread(pause, 1000)
    begun = time.monotonic()
    assert poll(0.05) is False
    assert time.monotonic() >= begun + 0.05
    thread.cancel()
    start()


def test_timeouts_of_the_loop() -> None:
    for wrong in (float("nan"),):
        with pytest.raises(ValueError, match="NaN"):
            start(wrong)
    with pytest.raises(TypeError):
        poll("1")  # type: ignore[arg-type]
    for endless in (float("inf"), 2.0**40, None):
        newthread(pause, 0.001)
        assert start(endless) is True


def test_stop_ends_the_loop_and_is_forgotten_then() -> None:
    def stopper() -> Steps:
        yield from sleep(0)
        stop()
        yield from sleep(0.01)

    thread = newthread(stopper)
    assert start() is True
    assert not thread.done
    assert start() is True
    assert thread.done


def test_stop_before_start_counts_once() -> None:
    thread = newthread(pause, 0.001)
    stop()
    assert start() is True
    assert not thread.done
    assert start() is True
    assert thread.done


def test_stop_in_run_is_told() -> None:
    def main() -> Steps:
        stop()
        yield from sleep(0.01)

    with pytest.raises(RuntimeError, match="stop"):
        run(main)
    assert start() is True


def test_stop_from_another_os_thread() -> None:
    thread = newthread(pause, 1000)
    stopper = threading.Thread(target=current_member().stop)
    stopper.start()
    assert start() is True
    stopper.join()
    thread.cancel()
    start()


def test_the_loop_is_not_entered_twice() -> None:
    def main() -> Steps:
        agains: list[Callable[[], object]] = [start, poll, partial(run, pause)]
        for again in agains:
            with pytest.raises(RuntimeError, match="already running"):
                again()
        yield from sleep(0)

    run(main)
    with pytest.raises(RuntimeError, match="inside a thread"):
        newthread(lambda: start()).result()


def test_each_os_thread_has_its_own() -> None:
    found: list[Any] = []

    def other() -> None:
        found.append(current_scheduler())
        found.append(run(lambda: "other"))
        current_member().close()

    os_thread = threading.Thread(target=other)
    os_thread.start()
    os_thread.join()
    assert found[0] is not current_scheduler()
    assert found[1] == "other"


def test_an_os_thread_may_end_without_closing_anything() -> None:
    """Warnings are errors here: its poller is freed silently, and its threads are closed."""
    trail = []

    def worker() -> Steps:
        try:
            yield from sleep(1000)
        finally:
            trail.append("closed")

    def other() -> None:
        newthread(worker)
        run(pause)

    os_thread = threading.Thread(target=other)
    os_thread.start()
    os_thread.join()
    gc.collect()
    assert trail == ["closed"]


def test_an_async_generator_that_is_dropped_may_wait_in_its_clean_up() -> None:
    trail = []

    async def numbers() -> Any:
        try:
            for number in range(10):
                await sleep(0)
                yield number
        finally:
            await sleep(0.001)
            trail.append("cleaned up")

    async def main() -> None:
        async for number in numbers():
            if number == 2:
                break
        gc.collect()
        await sleep(0.01)

    run(main)
    start()
    assert trail == ["cleaned up"]


def test_contextvars_belong_to_the_thread() -> None:
    var = contextvars.ContextVar("var", default="unset")

    def child() -> Steps:
        assert var.get() == "main's"
        var.set("child's")
        yield from sleep(0)
        assert var.get() == "child's"
        return var.get()

    def main() -> Steps:
        var.set("main's")
        thread = newthread(child)
        assert var.get() == "main's"
        yield from thread.join()
        assert var.get() == "main's"

    run(main)
    assert var.get() == "unset"


def test_system_exit_leaves_the_loop_not_the_creator() -> None:
    trail = []

    def quits() -> Steps:
        raise SystemExit(3)
        yield

    def main() -> Steps:
        newthread(quits)
        trail.append("creator goes on")
        yield from sleep(1000)

    with pytest.raises(SystemExit):
        run(main)
    assert trail == ["creator goes on"]
    for thread in list(current_scheduler().threads):
        thread.cancel()
    start()
    with pytest.raises(SystemExit):
        newthread(quits)


def test_a_thread_that_never_waits_does_not_starve_others() -> None:
    """sleep(0) goes to the end of the ready queue."""
    trail = []

    def other() -> Steps:
        yield from sleep(0.01)
        trail.append("other")

    def busy() -> Steps:
        thread = newthread(other)
        while not thread.done:
            yield from sleep(0)

    run(busy)
    assert trail == ["other"]


def test_ready_threads_run_in_order() -> None:
    trail: list[int] = []

    def worker(number: int) -> Steps:
        yield from sleep(0)
        trail.append(number)
        yield from sleep(0)
        trail.append(number)

    for number in range(5):
        newthread(worker, number)
    start()
    assert trail == [0, 1, 2, 3, 4] * 2


def test_100_000_threads_end() -> None:
    for _ in range(100_000):
        newthread(pause)
    start()
    assert not current_scheduler().threads


def test_close_cancels_what_is_left() -> None:
    trail = []

    def worker() -> Steps:
        try:
            yield from sleep(1000)
        finally:
            trail.append("cleaned up")

    newthread(worker)
    scheduler = current_scheduler()
    current_member().close()
    assert trail == ["cleaned up"]
    with pytest.raises(RuntimeError, match="shut down"):
        scheduler.poller.poll(0)
    socket2.threads.scheduler.local.scheduler = socket2.threads.scheduler.local.member = None
