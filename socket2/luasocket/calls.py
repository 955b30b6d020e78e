"""One call for two kinds of callers: in a thread it is an operation to wait for, in a plain script it runs at once.

LuaSocket programs usually start as blocking scripts. There, a call runs the loop until its result is ready, and other
threads run meanwhile. Only this module decides which of the two it is: by whether a thread is running.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast

from pollers import Operation, operation

from ..threads.coroutines import awaiting, is_coroutine
from ..threads.member import current_member
from ..threads.scheduler import local
from ..threads.thread import over_at_once
from ..threads.wait import Pass

P = ParamSpec("P")
T = TypeVar("T")


def call(func: Callable[P, Generator[Any, None, T]]) -> Callable[P, Operation[T]]:
    """Turn a generator function into a call: in a thread an operation; elsewhere it runs at once and returns T.

    Its type is an operation. Only scripts unpack the result outside a thread, and the type of an operation allows that.
    """
    make = operation(func)

    @functools.wraps(func)
    def called(*args: P.args, **kwargs: P.kwargs) -> Operation[T]:
        op = make(*args, **kwargs)
        turn = over_at_once()
        if not in_thread():
            return cast(Operation[T], _at_once(op, turn))
        return op if turn is None else _after(turn, op)

    return called


def in_thread() -> bool:
    return local.member is not None and local.member.current is not None


@operation
def _after(turn: Pass, op: Operation[T]) -> Generator[Any, None, T]:
    try:
        yield from turn.wait()
    except BaseException:
        op.close()
        raise
    return (yield from op)


def _at_once(op: Operation[T], turn: Pass | None) -> T:
    """Run the loop until `op` is done. Raises RuntimeError in a callback of the loop, which is already running."""
    member = current_member()
    try:
        if turn is not None:  # many calls in a row did not need to wait
            member.poll(0)
        result: T = member.run(op, ())
        return result
    finally:
        op.close()


@operation
def outcome(made: Any) -> Generator[Any, None, Any]:
    """Return the result of a function that the program provided: as it is, or after waiting for it."""
    return (yield from awaiting(made)) if is_coroutine(made) else made


def setting(name: str) -> Any:
    """Return a constant of the namespace. A program may have changed it, as in Lua."""
    return _namespace[name]


_namespace: dict[str, Any] = {}


def take_settings_from(namespace: dict[str, Any]) -> None:
    """Name the namespace whose constants setting() returns."""
    global _namespace
    _namespace = namespace
