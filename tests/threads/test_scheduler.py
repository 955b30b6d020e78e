"""Threads and the loop: starting, joining, cancelling, failing, stopping."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest

from socket2 import Thread, currentthread, newthread, run, sleep, start, suspend
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
        kinds: list[Any] = [
            generator,
            coroutine,
            lambda x: x,
            lambda x: generator(x),
            partial(generator),
            Callable_(),
            max,
        ]
        kinds.append(Callable_().method)
        for func in kinds:
            args: tuple[int, ...] = (7, 3) if func is max else (7,)
            assert (yield from newthread(func, *args).join()) == 7
        assert (yield from newthread(generator(8)).join()) == 8
        assert (yield from newthread(coroutine(9)).join()) == 9

    run(main)


def test_a_plain_function_runs_as_a_thread() -> None:
    seen: list[Thread[object]] = []
    thread = newthread(lambda: seen.append(currentthread()), name="plain")
    assert seen == [thread]
    assert thread.done
    assert thread.name == "plain"


def test_bad_calls_fail_where_they_are_made(caplog: pytest.LogCaptureFixture) -> None:
    def generator(x: int) -> Steps:
        yield from sleep(x)

    async def agen() -> Any:
        yield 1

    bad_calls: list[Callable[[], object]] = [
        partial(newthread, 5),
        partial(newthread, None),
        partial(newthread, generator),
        partial(newthread, generator, 1, 2),
        partial(newthread, lambda: None, 1),
        partial(newthread, agen),
    ]
    for bad in bad_calls:
        with pytest.raises(TypeError):
            bad()
    existing = generator(1)
    with pytest.raises(TypeError, match="exists already"):
        newthread(existing, 1)  # type: ignore[call-overload]
    assert caplog.text == "", "nothing was started, so nothing is reported"
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

    def joiner(thread: Thread[object]) -> Steps:
        return (yield from thread.join())

    def main() -> Steps:
        thread = newthread(worker)
        joiners = [newthread(joiner, thread) for _ in range(3)]
        for one in joiners:
            assert (yield from one.join()) == "done"

    run(main)


def test_an_exception_is_raised_by_join_and_not_reported(caplog: pytest.LogCaptureFixture) -> None:
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
    assert caplog.text == ""


def test_an_exception_that_nobody_joins_is_reported_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def worker() -> Steps:
        yield from sleep(0)
        raise LookupError("lost")

    def main() -> Steps:
        thread = newthread(worker, name="unlucky")
        yield from sleep(0.01)
        assert thread.done
        err = caplog.text
        assert "'unlucky'" in err
        assert "LookupError: lost" in err
        assert "in worker" in err, "with its traceback"
        with pytest.raises(LookupError):
            yield from thread.join()
        return "went on"

    assert run(main) == "went on"


def test_an_exception_before_the_first_wait_is_the_threads_not_the_creators(caplog: pytest.LogCaptureFixture) -> None:
    def worker() -> Steps:
        raise LookupError("lost")
        yield

    def plain() -> None:
        raise KeyError("plain")

    thread = newthread(worker)
    assert thread.done
    newthread(plain)
    err = caplog.text
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
    def hook(thread: Thread[object], error: BaseException) -> None:
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

    elsewhere: list[Thread[object]] = []

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
