"""signals(): what arrives waits for a thread, in order. In the end the handlers are restored, and no signal is lost."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from socket2 import TCP, Cancelled, Closed, newthread, run, serve, signals, sleep, start, suspend, timeout
from socket2.threads import catching

from ..garbage import left_by
from ..interop.peers import ROOT, Program
from ..servers.test_server import until

Steps = Generator[Any, Any, Any]

# A process can send itself these on every system.
TERM, INT = signal.SIGTERM, signal.SIGINT

unix_only = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal here")


@pytest.fixture(autouse=True)
def handlers_are_as_they_were() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in signal.valid_signals()}
    yield
    assert {signum: signal.getsignal(signum) for signum in before} == before
    assert not catching._previous
    assert not any(catching._catching.values())


def take(got: signals, count: int, into: list[int]) -> Steps:
    for _ in range(count):
        into.append((yield from got.next()))


def idle(conn: TCP) -> None: ...


# Taking them.


def test_they_are_taken_in_the_order_of_their_arrival() -> None:
    def main() -> Steps:
        taken: list[int] = []
        with signals(TERM, INT) as got:
            for signum in (TERM, INT, INT, TERM):
                signal.raise_signal(signum)
            yield from take(got, 4, taken)
        return taken

    assert run(main) == [TERM, INT, INT, TERM]


def test_a_coroutine_takes_them_with_async_for() -> None:
    async def main() -> list[int]:
        taken = []
        async with signals(TERM) as got:
            signal.raise_signal(TERM)
            async for signum in got:
                taken.append(signum)
                if len(taken) == 3:
                    break
                signal.raise_signal(TERM)
        with signals(TERM) as got:
            signal.raise_signal(TERM)
            async for signum in got:
                return [*taken, signum]
        raise AssertionError

    assert run(main) == [TERM] * 4


def test_each_is_taken_by_one_thread_and_the_first_to_wait_is_the_first_to_get_one() -> None:
    def main() -> Steps:
        taken: list[Any] = []

        def taker(name: str) -> Steps:
            taken.append((name, (yield from got.next())))

        with signals(TERM) as got:
            threads = [newthread(taker, name) for name in "abc"]
            threads[0].cancel()
            signal.raise_signal(TERM)
            signal.raise_signal(TERM)
            yield from threads[1].join()
            yield from threads[2].join()
        return taken

    assert run(main) == [("b", TERM), ("c", TERM)]


def test_what_came_before_a_cancel_is_delivered_and_what_was_not_taken_stays() -> None:
    def main() -> Steps:
        taken: list[int] = []
        with signals(TERM) as got:
            thread = newthread(take, got, 2, taken)
            got._arrive(TERM)
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
            assert taken == [TERM]
            with pytest.raises(TimeoutError):
                yield from got.next(0)
            with pytest.raises(TimeoutError), timeout(0.001):
                yield from got.next()
            signal.raise_signal(TERM)
            yield from take(got, 1, taken)
        return taken

    assert run(main) == [TERM, TERM]


def test_one_that_a_dropped_thread_was_given_goes_to_the_next() -> None:
    def main() -> Steps:
        def interrupted() -> Steps:
            yield from got.next()

        with signals(TERM) as got:
            steps = interrupted()
            place = next(steps)
            got._arrive(TERM)
            assert place.done
            steps.close()
            return (yield from got.next())

    assert run(main) == TERM


def test_taking_many_lets_other_threads_run() -> None:
    def main() -> Steps:
        ticks = 0

        def ticking() -> Steps:
            nonlocal ticks
            while True:
                yield from sleep(0)
                ticks += 1

        ticker = newthread(ticking)
        with signals(TERM) as got:
            for _ in range(1000):
                got._arrive(TERM)
            yield from take(got, 1000, [])
        ticker.cancel()
        with pytest.raises(Cancelled):
            yield from ticker.join()
        assert ticks > 5

    run(main)


PROGRAM = """
import signal, socket2
def main():
    with socket2.signals(signal.SIGALRM) as got:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert (yield from got.next()) == signal.SIGALRM
        print("woken by run()")
def daemon():
    yield from main()
    print("by start()")
socket2.run(main)
socket2.newthread(daemon)
assert socket2.start()
"""


@unix_only
def test_a_loop_whose_threads_wait_only_for_signals_goes_on() -> None:
    with Program([sys.executable, "-W", "error", "-c", PROGRAM], env={"PYTHONPATH": str(ROOT)}) as running:
        assert running.wait() == 0, running.stderr().decode()
        assert running.stdout().split(b"\n") == [b"woken by run()", b"woken by run()", b"by start()", b""]


# The block.


def test_a_block_begins_and_ends_once() -> None:
    def main() -> Steps:
        got = signals(TERM, TERM)
        assert repr(got) == "<signals SIGTERM, not begun, 0 arrived>"
        with pytest.raises(RuntimeError, match="inside the block"):
            got.next()
        with got:
            assert repr(got) == "<signals SIGTERM, 0 arrived>"
            waiting = newthread(got.next)
            iterating = newthread(iterate, got)
            with pytest.raises(RuntimeError, match="entered already"):
                got.__enter__()
        with pytest.raises(Closed, match="block"):
            yield from waiting.join()
        assert (yield from iterating.join()) == []
        with pytest.raises(Closed, match="block"):
            yield from got.next()
        with pytest.raises(RuntimeError, match="entered already"):
            got.__enter__()
        assert repr(got) == "<signals SIGTERM, ended, 0 arrived>"

    run(main)


async def iterate(got: signals) -> list[int]:
    return [signum async for signum in got]


def test_nested_blocks_each_get_it() -> None:
    def main() -> Steps:
        with signals(TERM, INT) as outer:
            with signals(TERM) as inner:
                signal.raise_signal(TERM)
                assert (yield from inner.next()) == TERM
            signal.raise_signal(INT)
            signal.raise_signal(TERM)
            yield from take(outer, 3, taken)

    taken: list[int] = []
    run(main)
    assert taken == [TERM, INT, TERM]


def test_blocks_that_end_in_another_order_than_they_began() -> None:
    def main() -> Steps:
        first, second = signals(TERM), signals(TERM)
        with second:
            with first:
                pass
            signal.raise_signal(TERM)
            yield from second.next()
        first, second = signals(TERM), signals(TERM)
        first.__enter__()
        second.__enter__()
        first.__exit__()
        signal.raise_signal(TERM)
        yield from second.next()
        second.__exit__()

    run(main)


class handled_by:
    """A block with a handler of the program's own, or SIG_IGN."""

    def __init__(self, signum: int, handler: Any) -> None:
        self._signum, self._handler = signum, handler

    def __enter__(self) -> None:
        self._before = signal.signal(self._signum, self._handler)

    def __exit__(self, *_: object) -> None:
        assert signal.getsignal(self._signum) is self._handler
        signal.signal(self._signum, self._before)


def test_what_nobody_took_is_raised_again_for_the_handler_from_before() -> None:
    handled: list[int] = []

    def handler(signum: int, frame: object) -> None:
        handled.append(signum)

    def main() -> Steps:
        with signals(TERM) as got:
            signal.raise_signal(TERM)
            assert (yield from got.next()) == TERM
            assert not handled
            signal.raise_signal(TERM)
            yield from sleep(0)
            yield from sleep(0)
            signal.raise_signal(TERM)  # the loop does not know of this one before the end of the block
        yield from sleep(0)
        yield from sleep(0)

    with handled_by(TERM, handler):
        run(main)
    assert handled == [TERM, TERM]


def test_what_another_block_got_too_is_not_raised_again() -> None:
    def main() -> Steps:
        with signals(TERM) as outer:
            with signals(TERM):
                signal.raise_signal(TERM)
                yield from sleep(0)
            yield from outer.next()
            with pytest.raises(TimeoutError):
                yield from outer.next(0)

    run(main)


def test_ctrl_c_that_nobody_took_interrupts_the_program_after_the_block() -> None:
    def main() -> Steps:
        with signals(INT):
            signal.raise_signal(INT)
            yield from sleep(0)
            reached.append("end of the block")
        yield from suspend()

    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert reached


def test_a_handler_that_is_installed_in_the_block_stays() -> None:
    def mine(signum: int, frame: object) -> None: ...

    def main() -> Steps:
        with signals(TERM):
            signal.signal(TERM, mine)
            yield from ()

    before = signal.getsignal(TERM)
    run(main)
    assert signal.getsignal(TERM) is mine
    signal.signal(TERM, before)


def test_ignored_signals_are_taken_too_but_not_by_a_server_in_the_block() -> None:
    def main() -> Steps:
        with signals(TERM) as got:
            serving = newthread(serve(idle, "127.0.0.1", signals=[TERM], ready=listening.append))
            yield from until(lambda: bool(listening))
            signal.raise_signal(TERM)
            assert (yield from got.next()) == TERM
            yield from sleep(0)
            assert not listening[0].stopping.is_set()
            yield from listening[0].stop()
            yield from serving.join()

    listening: list[Any] = []
    with handled_by(TERM, signal.SIG_IGN):
        run(main)


def test_a_server_in_the_block_catches_it_as_well() -> None:
    def main() -> Steps:
        with signals(TERM) as got:
            serving = newthread(serve(idle, "127.0.0.1", ready=lambda server: signal.raise_signal(TERM)))
            assert (yield from got.next()) == TERM
            assert (yield from serving.join()) == 0

    run(main)


def test_a_thread_that_is_dropped_in_its_block_restores_the_handlers() -> None:
    def main() -> Steps:
        with signals(TERM) as got:
            yield from got.next()

    steps = main()
    next(steps)
    assert signal.getsignal(TERM) is catching._note
    del steps
    gc.collect()
    assert signal.getsignal(TERM) is signal.SIG_DFL


def test_a_block_around_the_loop() -> None:
    taken: list[int] = []
    with signals(TERM) as got:
        signal.raise_signal(TERM)
        newthread(take, got, 1, taken)
        start()
    assert taken == [TERM]


def test_nothing_is_left_for_the_collector() -> None:
    def main() -> Steps:
        with pytest.raises(TimeoutError), signals(TERM) as got:
            yield from got.next(0)
        with pytest.raises(Closed):
            yield from got.next()

    signals(TERM)
    assert left_by(lambda: run(main)) == []
