"""portal: Ctrl-C and other signal handlers that raise, in the calling OS thread and in that of the loop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import _base
from contextlib import suppress
from typing import Any

import pytest

from socket2 import Event, portal, run, start, suspend
from socket2.threads.lock import is_held
from socket2.threads.member import current_member

from ..injection import Injection, Raised
from ..interop.peers import LIMIT_S, OSThread, beside
from ..servers.test_server import until
from ..sources import modules_in
from . import test_portal_end
from .test_portal import generator, plain, with_portal
from .test_portal_end import never

crashes = test_portal_end.crashes

Steps = Generator[Any, Any, Any]


def in_another_os_thread(func: Callable[[portal], Any]) -> Any:
    """Call it in this OS thread, while a loop runs in another one."""
    made: list[portal] = []
    open_, over = threading.Event(), threading.Event()

    def owner() -> None:
        with portal() as p:
            made.append(p)
            open_.set()
            start()
        assert not p._calls
        over.set()
        current_member().close()

    with beside(owner):
        assert open_.wait(LIMIT_S)
        try:
            return func(made[0])
        finally:
            made[0].close()
            assert over.wait(LIMIT_S)


class interrupting:
    """A block in which an OS thread sends Ctrl-C to the main one, each time that `again` is set."""

    def __init__(self, again: threading.Event) -> None:
        self._again = again
        self._over = False
        self._thread = OSThread(self._send)

    def _send(self) -> None:
        while self._again.wait(LIMIT_S) and not self._over:
            self._again.clear()
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._again.set()
        self._thread.join(LIMIT_S)
        self._thread.outcome()


needs_pthread_kill = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="cannot interrupt an OS thread here"
)


@needs_pthread_kill
def test_ctrl_c_in_a_call_cancels_the_thread_and_is_raised_when_that_has_ended() -> None:
    ended: list[str] = []

    def waits(p: portal) -> None:
        again = threading.Event()
        with interrupting(again):
            with pytest.raises(KeyboardInterrupt):
                p.call(never, again, ended)
            assert ended == ["cancelled"]
            assert p.call(plain, 1) == 1

    in_another_os_thread(waits)


@needs_pthread_kill
def test_a_second_ctrl_c_does_not_wait_for_the_cleanup() -> None:
    again, go_on = threading.Event(), Event()

    def cleans_up() -> Steps:
        again.set()
        try:
            yield from suspend()
        finally:
            again.set()
            yield from go_on.wait()

    def waits(p: portal) -> None:
        with interrupting(again):
            with pytest.raises(KeyboardInterrupt):
                p.call(cleans_up)
            assert not go_on.is_set()
            go_on.set()

    in_another_os_thread(waits)


@needs_pthread_kill
def test_an_error_after_ctrl_c_is_reported(crashes: list[BaseException]) -> None:
    def fails() -> Steps:
        again.set()
        try:
            yield from suspend()
        finally:
            raise LookupError

    def waits(p: portal) -> None:
        with interrupting(again), pytest.raises(KeyboardInterrupt):
            p.call(fails)
        p.call(until, lambda: bool(crashes))

    again = threading.Event()
    in_another_os_thread(waits)
    assert [type(error) for error in crashes] == [LookupError]


def at_each_point(attempt: Callable[[Injection], None]) -> int:
    """Make an attempt for each point where a handler may raise, and one without. Return how many points there are."""
    at, raised = 0, True
    while raised:
        at += 1
        injection = Injection(at, FILES)
        attempt(injection)
        raised = bool(injection.where)
    return at


FILES = {*modules_in("socket2/threads", "portal"), str(_base.__file__)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_handler_that_raises_at_each_point_of_a_caller() -> None:
    def attempt(injection: Injection) -> None:
        def caller(p: portal) -> None:
            with suppress(Raised), injection:
                assert p.call(generator, 1) == 1
            with suppress(Raised):
                assert p.spawn(generator, 2).result(LIMIT_S) == 2
            assert not is_held()
            assert p.call(plain, 3) == 3

        in_another_os_thread(caller)

    assert at_each_point(attempt) > 15


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_handler_that_raises_at_each_point_of_the_loop() -> None:
    """A call gets its outcome, or learns that the loop has ended."""

    def attempt(injection: Injection) -> None:
        outcomes: list[object] = []

        def caller() -> None:
            for number in range(2):
                try:
                    outcomes.append(p.spawn(plain, 1).result(LIMIT_S) if number else p.call(generator, 1))
                except RuntimeError as error:
                    outcomes.append(str(error))

        with portal() as p, beside(caller) as thread:
            with suppress(Raised), injection:
                run(until, lambda: not thread.is_alive())
        start()
        assert not is_held()
        assert len(outcomes) == 2, injection.where
        assert {*outcomes} <= {1, "the loop of this portal has ended"}, injection.where
        assert injection.where or outcomes == [1, 1]

    assert at_each_point(attempt) > 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_no_loop_to_call() -> None:
    def caller(p: portal) -> int:
        child = os.fork()
        if child == 0:
            try:
                p.call(plain, 1)
            except RuntimeError:
                os._exit(0)
            os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_another_os_thread(caller) == 0
    assert with_portal(caller) == 0
