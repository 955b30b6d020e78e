"""A signal handler raises anywhere in a `with` block, and the lock is free afterwards."""

from __future__ import annotations

import _thread
import ast
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from pollers import leakproof, lock

from ..injection import Raised, Tracing
from ..rooms import sources


class Pending:
    """Tells the interpreter that a signal came. It runs the handler as soon as the traced code lets it.

    A call would make the trace function itself check for signals, but an operator does not.
    """

    __pos__ = _thread.interrupt_main


class SignalAt(Tracing):
    """Makes the signal come before the instruction of that number, of all that the block executes."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._signal: Any = Pending()

    @property
    def came(self) -> bool:
        return self._left == 0

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)  # first: the next trace function would run the handler
                return +self._signal
        return self._step


@pytest.fixture
def raises_on_sigint() -> Iterator[None]:
    def handler(*_: object) -> None:
        raise Raised

    before = signal.signal(signal.SIGINT, handler)
    yield
    signal.signal(signal.SIGINT, before)


def free(lock: Any) -> bool:
    """Whether another OS thread can acquire it."""
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(lock.acquire(timeout=0) and not lock.release()))
    thread.start()
    thread.join()
    return got == [True]


def attempt(lock: Any, at: int) -> bool:
    """Return False if the block executes fewer instructions."""

    def block() -> None:
        with lock:
            pass

    signals = SignalAt(at)
    with suppress(Raised):
        with signals:
            block()
    return signals.came


MADE: dict[str, Callable[[], Any]] = {
    "Lock": lambda: leakproof(threading.Lock()),
    "RLock": lambda: leakproof(threading.RLock()),
    "the one": lambda: lock,
}


@pytest.mark.usefixtures("raises_on_sigint")
@pytest.mark.parametrize("kind", MADE)
def test_a_handler_that_raises_leaves_it_free(kind: str) -> None:
    tried = MADE[kind]()
    at = 1
    while attempt(tried, at):
        assert free(tried), at
        at += 1
    assert at > 5


@pytest.mark.parametrize("kind", MADE)
def test_it_is_held_inside_the_block_and_free_after_it(kind: str) -> None:
    tried = MADE[kind]()
    with tried:
        assert not free(tried)
    assert free(tried)


def test_a_block_that_raises_frees_it_and_raises_further() -> None:
    tried = leakproof(threading.Lock())
    with pytest.raises(ZeroDivisionError), tried:
        raise ZeroDivisionError
    assert free(tried)


def test_an_rlock_can_be_acquired_again() -> None:
    tried = leakproof(threading.RLock())
    with tried, tried:
        assert tried._is_owned()  # type: ignore[attr-defined]
    assert free(tried)


def test_a_condition_can_have_it() -> None:
    tried = leakproof(threading.Lock())
    condition = threading.Condition(tried)
    there = False

    def come() -> None:
        nonlocal there
        with tried:
            there = True
            condition.notify_all()

    with tried:
        thread = threading.Thread(target=come)
        thread.start()
        condition.wait_for(lambda: there)
    thread.join()
    assert free(tried)


BARE = {"threading.Lock", "threading.RLock", "threading.Condition"}


def made_without_it(part: ast.stmt) -> set[str]:
    """Return the names of the locks and conditions that are not leakproof."""
    names = set()
    for node in ast.walk(part):
        match node:
            case ast.Assign(targets=targets, value=ast.Call(func=func)) if ast.unparse(func) in BARE:
                names |= {ast.unparse(target) for target in targets}
            case ast.AnnAssign(target=target, value=ast.Call(func=func)) if ast.unparse(func) in BARE:
                names.add(ast.unparse(target))
    return names


def test_every_lock_of_a_with_block_is_leakproof() -> None:
    offenders = []
    for path in sources():
        of_the_module = set[str]()
        for part in ast.parse(path.read_bytes(), path).body:
            bare = of_the_module | made_without_it(part)
            if not isinstance(part, ast.ClassDef):
                of_the_module = bare
            offenders += [
                f"{path}:{node.lineno}"
                for node in ast.walk(part)
                if isinstance(node, ast.With) and bare & {ast.unparse(item.context_expr) for item in node.items}
            ]
    assert not offenders
