"""Threads and the loop: starting, joining, cancelling, failing, stopping."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Thread, currentthread, newthread, poll, resume, run, sleep, start, stop, suspend
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler

Steps = Generator[Any, Any, Any]


def pause(seconds: float = 0) -> Steps:
    yield from sleep(seconds)


# Starting.


def test_a_thread_starts_at_once_and_returns_at_its_first_wait() -> None:
    order = []

    def child(name: str) -> Steps:
        order.append(f"{name} begins")
        yield from sleep(0)
        order.append(f"{name} ends")

    def main() -> Steps:
        order.append("main")
        threads = [newthread(child, "a"), newthread(child, "b")]
        order.append("started")
        for thread in threads:
            yield from thread.join()

    run(main)
    assert order == ["main", "a begins", "b begins", "started", "a ends", "b ends"]


def test_every_kind_of_function() -> None:
    def generator(x: int) -> Steps:
        yield from sleep(0)
        return x

    async def coroutine(x: int) -> int:
        await sleep(0)
        return x

    class Callable_:
        def __call__(self, x: int) -> Steps:
            return generator(x)

        def method(self, x: int) -> Steps:
            return generator(x)

    def main() -> Steps:
        kinds = [generator, coroutine, lambda x: x, lambda x: generator(x), partial(generator), Callable_(), max]
        for func in [*kinds, Callable_().method]:
            args: tuple[int, ...] = (7, 3) if func is max else (7,)
            assert (yield from newthread(func, *args).join()) == 7
        assert (yield from newthread(generator(8)).join()) == 8
        assert (yield from newthread(coroutine(9)).join()) == 9

    run(main)


def test_a_plain_function_runs_as_a_thread() -> None:
    seen: list[Thread] = []
    thread = newthread(lambda: seen.append(currentthread()), name="plain")
    assert seen == [thread]
    assert thread.done
    assert thread.name == "plain"


def test_bad_calls_fail_where_they_are_made(capsys: pytest.CaptureFixture[str]) -> None:
    def generator(x: int) -> Steps:
        yield from sleep(x)

    async def agen() -> Any:
        yield 1

    for bad in (
        partial(newthread, 5),
        partial(newthread, None),
        partial(newthread, generator),
        partial(newthread, generator, 1, 2),
        partial(newthread, lambda: None, 1),
        partial(newthread, agen),
    ):
        with pytest.raises(TypeError):
            bad()
    existing = generator(1)
    with pytest.raises(TypeError, match="exists already"):
        newthread(existing, 1)
    assert capsys.readouterr().err == "", "nothing was started, so nothing is reported"
    assert not current_scheduler().threads


def test_names() -> None:
    def main() -> Steps:
        assert currentthread().name.endswith("main")
        thread = newthread(pause, name="sleeper")
        assert thread.name == "sleeper"
        assert "sleeper" in repr(thread)
        assert "sleep of 0 s" in repr(thread.waiting_on)
        yield from thread.join()
        assert "ended" in repr(thread)
        assert thread.waiting_on is None

    run(main)


def test_starts_nested_deeper_than_the_stack() -> None:
    depth = 3000
    reached = []

    def nest(level: int) -> Steps:
        if level < depth:
            newthread(nest, level + 1)
        else:
            reached.append(level)
        yield from sleep(0)

    newthread(nest, 0)
    assert start() is True
    assert reached == [depth]


# Outcomes.


def test_result_and_join() -> None:
    def main() -> Steps:
        thread = newthread(pause, 0.01)
        with pytest.raises(RuntimeError, match="has not ended"):
            thread.result()
        assert (yield from thread.join()) is None
        assert thread.result() is None
        assert thread.error is None
        assert (yield from thread.join()) is None, "joining again is fine"

    run(main)


def test_several_join_one() -> None:
    def worker() -> Steps:
        yield from sleep(0)
        return "done"

    def joiner(thread: Thread) -> Steps:
        return (yield from thread.join())

    def main() -> Steps:
        thread = newthread(worker)
        joiners = [newthread(joiner, thread) for _ in range(3)]
        for one in joiners:
            assert (yield from one.join()) == "done"

    run(main)


def test_an_exception_is_raised_by_join_and_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def worker() -> Steps:
        yield from sleep(0)
        raise LookupError("lost")

    def main() -> Steps:
        thread = newthread(worker)
        assert thread.error is None
        with pytest.raises(LookupError, match="lost") as caught:
            yield from thread.join()
        with pytest.raises(LookupError, match="lost"):
            thread.result()
        assert thread.error is caught.value

    run(main)
    assert capsys.readouterr().err == ""


def test_an_exception_that_nobody_joins_is_reported_and_the_loop_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def worker() -> Steps:
        yield from sleep(0)
        raise LookupError("lost")

    def main() -> Steps:
        thread = newthread(worker, name="unlucky")
        yield from sleep(0.01)
        assert thread.done
        err = capsys.readouterr().err
        assert "'unlucky'" in err
        assert "LookupError: lost" in err
        assert "in worker" in err, "with its traceback"
        with pytest.raises(LookupError):
            yield from thread.join()
        return "went on"

    assert run(main) == "went on"


def test_an_exception_before_the_first_wait_is_the_threads_not_the_creators(capsys: pytest.CaptureFixture[str]) -> None:
    def worker() -> Steps:
        raise LookupError("lost")
        yield

    def plain() -> None:
        raise KeyError("plain")

    thread = newthread(worker)
    assert thread.done
    newthread(plain)
    err = capsys.readouterr().err
    assert "LookupError: lost" in err
    assert "KeyError: 'plain'" in err


def test_crashhook_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    hook = lambda thread, error: seen.append((thread.name, str(error)))  # noqa: E731
    monkeypatch.setattr("socket2.thread.crashhook", hook)

    def worker() -> Steps:
        raise LookupError("lost")
        yield

    newthread(worker, name="w")
    assert seen == [("w", "lost")]


def test_a_crashhook_that_crashes_does_not_end_the_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hook(thread: Thread, error: BaseException) -> None:
        raise KeyError("hook")

    monkeypatch.setattr("socket2.thread.crashhook", hook)

    def worker() -> Steps:
        yield from sleep(0)
        raise LookupError("lost")

    newthread(worker)
    assert start() is True
    err = capsys.readouterr().err
    assert "KeyError: 'hook'" in err
    assert "LookupError: lost" in err


def test_joining_oneself_and_strangers() -> None:
    def main() -> Steps:
        with pytest.raises(RuntimeError, match="itself"):
            yield from currentthread().join()
        with pytest.raises(RuntimeError, match="another OS thread"):
            yield from elsewhere[0].join()

    elsewhere: list[Thread] = []

    def other() -> None:
        elsewhere.append(newthread(pause, 0.01))
        start()
        elsewhere.append(newthread(suspender))
        elsewhere.pop(0)
        go.wait()
        elsewhere[0].cancel()
        start()
        current_member().close()

    def suspender() -> Steps:
        yield from suspend()

    go = threading.Event()
    os_thread = threading.Thread(target=other)
    os_thread.start()
    while not elsewhere or elsewhere[0].done or len(elsewhere) > 1:
        pass
    run(main)
    go.set()
    os_thread.join()


def test_a_live_thread_is_held_by_the_scheduler() -> None:
    def worker(done: list[str]) -> Steps:
        yield from sleep(0.01)
        done.append("done")

    done: list[str] = []
    watch = weakref.ref(newthread(worker, done))
    gc.collect()
    assert watch() is not None
    start()
    assert done == ["done"]
    gc.collect()
    assert watch() is None


# Waiting for the wrong thing.


def test_a_yield_without_from_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def forgot_from() -> Steps:
        try:
            yield pause()
        except TypeError as error:
            return str(error)

    def nonsense() -> Steps:
        yield 42

    def main() -> Steps:
        assert "yield from" in (yield from newthread(forgot_from).join())
        with pytest.raises(TypeError, match="42, which is not an operation of socket2"):
            yield from newthread(nonsense).join()

    run(main)


def test_what_needs_a_thread_says_so() -> None:
    for call in (currentthread, suspend, partial(sleep, 1), partial(socket2.call_in_thread, print)):
        with pytest.raises(RuntimeError, match="only inside a thread"):
            call()
    with pytest.raises(RuntimeError, match="only inside a thread"), socket2.timeout(1):
        pass


# Cancelling.


def test_cancel_ends_a_wait_at_once() -> None:
    trail = []

    def worker() -> Steps:
        try:
            yield from sleep(1000)
        except Cancelled:
            trail.append("cancelled")
            raise

    def main() -> Steps:
        thread = newthread(worker)
        assert thread.cancel() is True
        assert trail == [], "not inside cancel()"
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert thread.cancel() is False

    run(main)
    assert trail == ["cancelled"]


def test_a_cancelled_thread_is_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    thread = newthread(pause, 1000)
    thread.cancel()
    assert start() is True
    assert thread.done
    assert capsys.readouterr().err == ""


def test_somebody_elses_cancellation_is_an_error_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    def careless(thread: Thread) -> Steps:
        yield from thread.join()

    victim = newthread(pause, 1000)
    newthread(careless, victim, name="careless")
    victim.cancel()
    start()
    assert "'careless'" in capsys.readouterr().err


def test_cancel_can_be_survived_and_comes_once() -> None:
    def worker() -> Steps:
        try:
            yield from sleep(1000)
        except Cancelled:
            yield from sleep(0.01)
        return "survived"

    def main() -> Steps:
        thread = newthread(worker)
        thread.cancel()
        return (yield from thread.join())

    assert run(main) == "survived"


def test_what_has_finished_is_delivered_and_the_next_wait_is_cancelled() -> None:
    trail = []

    def worker() -> Steps:
        trail.append((yield from suspend()))
        yield from sleep(1000)

    def main() -> Steps:
        thread = newthread(worker)
        resume(thread, "delivered")
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    run(main)
    assert trail == ["delivered"]


def test_a_thread_that_cancels_itself_is_cancelled_at_its_next_wait() -> None:
    def worker() -> Steps:
        currentthread().cancel()
        trail.append("still running")
        yield from sleep(1000)

    trail: list[str] = []
    thread = newthread(worker)
    start()
    assert trail == ["still running"]
    with pytest.raises(Cancelled):
        thread.result()


def test_cancel_from_another_os_thread() -> None:
    def main() -> Steps:
        canceller = threading.Thread(target=currentthread().cancel)
        canceller.start()
        try:
            yield from sleep(1000)
        finally:
            canceller.join()

    with pytest.raises(Cancelled):
        run(main)


def test_a_cancelled_join_leaves_the_thread_alone() -> None:
    def main() -> Steps:
        thread = newthread(pause, 0.05)
        joiner = newthread(thread.join())
        joiner.cancel()
        with pytest.raises(Cancelled):
            yield from joiner.join()
        assert not thread.done
        yield from thread.join()

    run(main)


def test_a_thread_that_failed_after_its_joiner_left_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def worker() -> Steps:
        yield from sleep(0.02)
        raise LookupError("lost")

    def main() -> Steps:
        thread = newthread(worker)
        with pytest.raises(TimeoutError), socket2.timeout(0.001):
            yield from thread.join()
        yield from sleep(0.05)

    run(main)
    assert "LookupError: lost" in capsys.readouterr().err


# Suspending.


def test_suspend_and_resume() -> None:
    def worker() -> Steps:
        first = yield from suspend()
        second = yield from suspend()
        return first, second

    def main() -> Steps:
        thread = newthread(worker)
        resume(thread, 1)
        with pytest.raises(RuntimeError, match="not suspended"):
            resume(thread, "twice")
        yield from sleep(0)
        resume(thread)
        assert (yield from thread.join()) == (1, None)
        with pytest.raises(RuntimeError, match="not suspended"):
            resume(thread)

    run(main)


def test_two_threads_pass_a_token() -> None:
    rounds = 1000

    def player(peer: list[Thread]) -> Steps:
        for _ in range(rounds):
            ball = yield from suspend()
            resume(peer[0], ball + 1)
        return ball

    def main() -> Steps:
        one: list[Thread] = []
        other: list[Thread] = []
        a, b = newthread(player, other), newthread(player, one)
        one.append(a)
        other.append(b)
        resume(a, 0)
        assert (yield from a.join()) == 2 * rounds - 2
        b.cancel()
        with pytest.raises((Cancelled, RuntimeError)):
            yield from b.join()

    run(main)


def test_resume_of_a_thread_that_waits_for_something_else() -> None:
    thread = newthread(pause, 0.01)
    with pytest.raises(RuntimeError, match="not suspended"):
        resume(thread)
    start()


def test_resume_from_another_os_thread() -> None:
    """No deadlock is reported while another OS thread might resume the thread."""

    def main() -> Steps:
        me = currentthread()

        def resumes() -> None:
            while me.waiting_on is None:
                pass
            resume(me, "from outside")

        os_thread = threading.Thread(target=resumes)
        os_thread.start()
        try:
            return (yield from suspend())
        finally:
            os_thread.join()

    assert run(main) == "from outside"


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


def test_run_does_not_report_what_it_raises(capsys: pytest.CaptureFixture[str]) -> None:
    def at_once() -> Steps:
        raise LookupError
        yield

    def later() -> Steps:
        yield from sleep(0)
        raise LookupError

    for main in (at_once, later):
        with pytest.raises(LookupError):
            run(main)
    assert capsys.readouterr().err == ""


def test_run_leaves_the_other_threads_for_later() -> None:
    trail = []

    def other() -> Steps:
        yield from sleep(0.02)
        trail.append("other")

    def main() -> Steps:
        newthread(other)
        yield from sleep(0)

    run(main)
    assert trail == []
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

    thread = newthread(ticks)
    last = newthread(pause, 1000)
    begun = time.monotonic()
    assert start(0.1) is False
    assert thread.done, "it was never idle for so long while this went on"
    assert time.monotonic() - begun >= 0.25 - 0.001
    last.cancel()
    assert start() is True


def test_poll() -> None:
    assert poll() is False, "nothing to wait for"
    assert poll(0) is False
    thread = newthread(pause, 0.01)
    assert poll(0) is False
    assert poll(-1) is False
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
        for again in (start, poll, partial(run, pause)):
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
