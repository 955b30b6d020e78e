"""One call, made from two kinds of places: in a thread it is an operation to wait for, in a plain script it is done.

LuaSocket's programs begin as scripts that block. There, a call runs the loop until its result is there; other threads
go on meanwhile. Which of the two it is, is decided here and nowhere else: by whether a thread is running.
"""

from __future__ import annotations

import functools
import sys
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
    """Make a generator function a call: an operation inside a thread; outside one it runs at once and returns T.

    It is typed as an operation. Outside a thread only scripts unpack it, and an operation's type allows them to.
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
    """Run the loop until `op` is done. RuntimeError in the loop's own callbacks, where it runs already."""
    member = current_member()
    try:
        if turn is not None:  # so many calls had no need to wait
            member.poll(0)
        result: T = member.run(op)
        return result
    finally:
        op.close()


@operation
def outcome(made: Any) -> Generator[Any, None, Any]:
    """What a function of the program's own has given: as it is, or what comes of it if it has to be waited for."""
    return (yield from awaiting(made)) if is_coroutine(made) else made


def setting(name: str) -> Any:
    """A constant of the namespace, which a program may have changed, as it could in Lua."""
    return getattr(sys.modules[__package__], name)
