"""The timeout of a direction, in Python and in C. Both must behave in the same way, in normal and in special cases."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from pollers import Cancelled, operation
from socket2 import newthread
from socket2.threads import deadline, joining
from socket2.threads.chain import links_of
from socket2.threads.deadline import Patience
from socket2.threads.scheduler import current_scheduler
from socket2.threads.timers import Timers

from ..native.test_memory import failing

Steps = Generator[Any, Any, Any]

FAR_S = 1000.0
COMPILED = deadline._compiled is not None
WAYS = ["python", pytest.param("c", marks=pytest.mark.skipif(not COMPILED, reason="not built, or switched off"))]


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python" and COMPILED:
        monkeypatch.setattr(Patience, "limit", Patience.limit.__wrapped__)  # type: ignore[attr-defined]
    return str(request.param)


@operation
def at_once(result: object) -> Steps:
    return result
    yield


def timers() -> Timers:
    return current_scheduler().timers


def test_a_result_or_an_error_at_once() -> None:
    @operation
    def failing_at_once() -> Steps:
        raise KeyError("x")
        yield

    def main() -> Steps:
        patience = Patience(FAR_S)
        assert (yield from patience.limit(at_once("result"))) == "result"
        assert (yield from patience.limit(at_once(None))) is None
        assert (yield from patience.limit(at_once((1, 2)))) == (1, 2)
        with pytest.raises(KeyError, match="x"):
            yield from patience.limit(failing_at_once())
        assert timers().armed == 0

    socket2.run(main)


def test_no_timer_is_set_unless_it_waits(way: str) -> None:
    def main() -> Steps:
        yield from Patience(FAR_S).limit(at_once("result"))
        assert len(timers().heap) == (1 if way == "python" else 0)

    socket2.run(main)


@pytest.mark.parametrize("result", ["result", None, (1, 2)])
def test_a_result_after_a_wait(result: object) -> None:
    @operation
    def waiting() -> Steps:
        yield from socket2.sleep(0)
        assert timers().armed == 1
        yield from socket2.sleep(0)
        return result

    def main() -> Steps:
        patience = Patience(FAR_S)
        for _ in range(3):
            assert (yield from patience.limit(waiting())) == result
            assert patience.due is None
            assert timers().armed == 0
        assert len(timers().heap) == 1  # its entry stays

    socket2.run(main)


def test_the_time_counts_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = current_scheduler()
    real, skipped = scheduler.now, 0.0

    @operation
    def slow() -> Steps:
        nonlocal skipped
        before = scheduler.now()
        skipped = 500.0
        yield from socket2.sleep(0)
        end = patience.due
        assert end is not None
        assert end <= before + FAR_S
        skipped = 0.0

    patience = Patience(FAR_S)
    monkeypatch.setattr(scheduler, "now", lambda: real() + skipped)
    socket2.run(lambda: patience.limit(slow()))


def test_a_timeout_hides_the_interruption() -> None:
    seen: list[BaseException] = []

    @operation
    def sending() -> Steps:
        try:
            yield from socket2.suspend()
        except Cancelled as error:
            error.bytes_sent = 7
            seen.append(error)
            raise

    def main() -> Steps:
        patience = Patience(0.001)
        for _ in range(2):
            with pytest.raises(TimeoutError, match="timed out") as caught:
                yield from patience.limit(sending())
            assert caught.value.bytes_sent == 7  # type: ignore[attr-defined]
            assert caught.value.__context__ is seen.pop()
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
        assert (yield from patience.limit(at_once(1))) == 1

    socket2.run(main)


def test_a_result_after_the_time_is_delivered() -> None:
    @operation
    def finishing() -> Steps:
        try:
            yield from socket2.suspend()
        except Cancelled:
            return "result"

    def main() -> Steps:
        assert (yield from Patience(0.001).limit(finishing())) == "result"
        yield from socket2.sleep(0)

    socket2.run(main)


@pytest.mark.parametrize("shared", [False, True])
def test_a_cancellation_passes(shared: bool) -> None:
    if shared:
        joining.share(current_scheduler())
    patience = Patience(FAR_S)

    def main() -> Steps:
        thread = newthread(lambda: patience.limit(socket2.suspend()))
        yield from socket2.sleep(0)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert timers().armed == 0

    socket2.run(main)


def test_threads_in_one_direction_have_their_own_time() -> None:
    patience = Patience(FAR_S)

    def main() -> Steps:
        with socket2.threadset() as group:
            threads = [group.newthread(lambda: patience.limit(socket2.suspend())) for _ in range(3)]
            assert timers().armed == 3
            yield from socket2.sleep(0)
            for thread in threads:
                socket2.resume(thread)
            for thread in threads:
                yield from thread.join()
        assert timers().armed == 0

    socket2.run(main)


def test_during_the_cleanup_after_another_interruption() -> None:
    """Then it is known what is on its way, and Python sets the deadline."""

    def cleaning() -> Steps:
        try:
            yield from socket2.suspend()
        finally:
            with pytest.raises(TimeoutError):
                yield from Patience(0.001).limit(socket2.suspend())
            assert (yield from Patience(FAR_S).limit(at_once(1))) == 1

    def main() -> Steps:
        thread = newthread(cleaning)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    socket2.run(main)


# The operation as an object.


def test_it_is_awaited_once() -> None:
    def main() -> Steps:
        op = Patience(FAR_S).limit(at_once(1))
        assert (yield from op) == 1
        with pytest.raises(RuntimeError, match="has been awaited already"):
            yield from op
        op = Patience(FAR_S).limit(socket2.suspend())
        steps = op.__await__()
        next(steps)
        with pytest.raises(RuntimeError, match="is being awaited already"):
            yield from op
        steps.close()

    socket2.run(main)


def test_it_waits_in_the_chain_of_its_thread() -> None:
    def main() -> Steps:
        thread = newthread(lambda: Patience(FAR_S).limit(socket2.suspend()))
        assert "wait" in [getattr(link, "__name__", "") for link in links_of(thread._coro)]
        yield from socket2.sleep(0)
        socket2.resume(thread)
        yield from thread.join()

    socket2.run(main)


def test_closed_and_thrown_into(way: str) -> None:
    ended: list[str] = []

    @operation
    def waiting() -> Steps:
        try:
            yield from socket2.suspend()
        finally:
            ended.append("ended")

    def main() -> Steps:
        patience = Patience(FAR_S)
        steps = patience.limit(waiting()).__await__()
        with pytest.raises(TypeError, match="can't send non-None"):
            steps.send(1)  # type: ignore[arg-type]
        next(steps)
        assert timers().armed == 1
        steps.close()
        steps.close()
        assert ended.pop()
        assert timers().armed == 0
        steps = patience.limit(waiting()).__await__()
        next(steps)
        with pytest.raises(KeyError):
            steps.throw(KeyError("x"))
        assert ended.pop()
        assert timers().armed == 0
        with pytest.raises(KeyError):
            steps.throw(KeyError("x"))
        if way == "c":  # a generator that has not begun is left to CPython
            with pytest.raises(KeyError):
                patience.limit(waiting()).__await__().throw(KeyError("x"))
            assert not ended
        yield from socket2.sleep(0)

    socket2.run(main)


def test_dropped_while_it_waits() -> None:
    def main() -> Steps:
        steps = Patience(FAR_S).limit(socket2.suspend()).__await__()
        next(steps)
        assert timers().armed == 1
        del steps
        assert timers().armed == 0
        yield from socket2.sleep(0)

    socket2.run(main)
    gc.collect()


@pytest.mark.skipif(not COMPILED, reason="only with parts in C")
def test_forgotten() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Patience(FAR_S).limit(at_once(1))
        op = Patience(FAR_S).limit(at_once(1))
        op.close()
        del op
    assert len(seen) == 1
    assert "operation limit" in str(seen[0].message) or "operation at_once" in str(seen[0].message)


def test_outside_a_thread() -> None:
    inner = at_once(1)
    with pytest.raises(RuntimeError, match="only inside a thread"):
        next(Patience(FAR_S).limit(inner).__await__())
    inner.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_in_no_thread() -> None:
    def main() -> Steps:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about fork with OS threads
            pid = os.fork()
        if pid == 0:
            try:
                next(Patience(FAR_S).limit(at_once(1)).__await__())
            except RuntimeError as error:
                os._exit(7 if "only inside a thread" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        yield from socket2.sleep(0)

    socket2.run(main)


# What fails on the way.


@pytest.mark.parametrize("method", ["_begin", "enter"])
def test_the_deadline_cannot_be_set(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a signal handler raised there."""
    ended: list[BaseException] = []

    @operation
    def waiting() -> Steps:
        try:
            yield from socket2.suspend()
        except BaseException as error:
            ended.append(error)
            raise

    def refuse(*_: object) -> bool:
        raise KeyError("handler")

    def main() -> Steps:
        patience = Patience(FAR_S)
        inner = waiting()
        with monkeypatch.context() as patched:
            patched.setattr(Patience, method, refuse)
            with pytest.raises(KeyError, match="handler"):
                yield from patience.limit(inner)
        inner.close()
        assert len(ended) == (way == "c")
        assert timers().armed == 0
        assert (yield from patience.limit(at_once(1))) == 1
        with pytest.raises(TimeoutError):
            yield from Patience(0.001).limit(socket2.suspend())

    if way == "python" and method == "_begin":
        return  # only C calls it
    socket2.run(main)


def test_the_deadline_cannot_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise KeyError("handler")

    def main() -> Steps:
        patience = Patience(0.001)
        with monkeypatch.context() as patched:
            patched.setattr(Patience, "leave", refuse)
            with pytest.raises(KeyError, match="handler"):
                yield from patience.limit(socket2.suspend())
        assert timers().armed == 0
        with pytest.raises(TimeoutError):
            yield from patience.limit(socket2.suspend())

    socket2.run(main)


@pytest.mark.skipif(not COMPILED, reason="only with parts in C")
def test_without_memory() -> None:
    def main() -> Steps:
        patience = Patience(FAR_S)
        yield from patience.limit(socket2.sleep(0))  # its entry in the heap stays
        for number in range(12):
            for inner in (at_once(1), socket2.suspend()):
                steps = patience.limit(inner).__await__()
                with failing(number):
                    next(steps)
                steps.close()
                assert timers().armed == 0
                assert patience._thread is None
        yield from socket2.sleep(0)

    socket2.run(main)
