"""A lock for OS threads that costs little while nobody waits for it: a list that is empty while it is taken.

`free = take(free)`, and at once a `try` block whose `finally` calls `free.append(None)`, then notify() if anybody is in
`crowd`: see streams.claim. This module must not know what the lock protects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from pollers import leakproof

Method = TypeVar("Method", bound=Callable[..., Any])

_guard = leakproof(threading.Lock())
_changed = threading.Condition(_guard)

crowd: list[None] = []
"""An element for each OS thread that waits for any of these locks."""

# If a signal handler raises between an append and notify(), the others find out by themselves.
_LOOK_AGAIN_S = 0.05


def take(free: list[None]) -> list[None]:
    """Take the lock, and wait for it if needed. Return it."""
    try:
        del free[0]
    except IndexError:
        _wait_for(free)
    return free


def _wait_for(free: list[None]) -> None:
    taken = False
    try:
        with _guard:
            crowd.append(None)
            try:
                while True:
                    try:
                        del free[0]
                        taken = True
                        return
                    except IndexError:
                        _changed.wait(_LOOK_AGAIN_S)
            finally:
                crowd.pop()
    except BaseException:  # of a signal handler
        if taken:
            free.append(None)
        raise


def notify() -> None:
    """Tell the crowd that a lock is free."""
    with _guard:
        _changed.notify_all()


def exclusive(method: Method) -> Method:
    """Decorate a method that holds the lock `self._free` while it runs."""

    @wraps(method)
    def whole(self: Any, *args: Any) -> Any:
        free = take(self._free)
        try:
            return method(self, *args)
        finally:
            free.append(None)
            if crowd:
                notify()

    return cast(Method, whole)
