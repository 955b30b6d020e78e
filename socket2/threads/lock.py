"""The lock that protects which thread waits for what.

Several OS threads may serve one scheduler, so they change waits, timers and interruptions under a lock. All schedulers
and pollers share this one. It is held for a few instructions at a time, and never while a thread runs. The holder may
take it again, so it does not keep out a signal handler or finalizer that runs in the same OS thread. That code checks
is_held(): if True, it has interrupted a change, must not make another one, and posts its request to the loop.
Such a handler may also raise. So no loop inside a `with lock:` block ends with a condition, as in `while condition:`,
`for ...: if ...:`, `[... if ...]` or `any(...)`. Python 3.12 and later compile its jump back outside the block, and an
exception that is raised at this jump would leave the lock held. A @locked function may have such loops. The same is
true of all other blocks that clean up: `with`, `finally` and `except BaseException`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pollers import lock

__all__ = ["is_held", "lock", "locked"]

P = ParamSpec("P")
T = TypeVar("T")

is_held: Callable[[], bool] = lock._is_owned  # type: ignore[attr-defined]
"""Whether this OS thread holds the lock. threading.Condition calls the same method."""


def locked(func: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that changes state. Other OS threads see all of the change, or nothing."""

    @wraps(func)
    def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return func(*args, **kwargs)

    return whole
