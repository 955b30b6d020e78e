"""A lock for OS threads that costs little while nobody waits for it: an attribute that is not there while it is taken.

`take(latch)`, and at once a `try` block whose `finally` says `latch._free = None`, then calls notify() if anybody is in
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


class Latch:
    """What is locked."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free = None


def take(latch: Latch) -> None:
    """Take the lock, and wait for it if needed."""
    try:
        del latch._free
    except AttributeError:
        _wait_for(latch)


def _wait_for(latch: Latch) -> None:
    taken = False
    try:
        with _guard:
            crowd.append(None)
            try:
                while True:
                    try:
                        del latch._free
                        taken = True
                        return
                    except AttributeError:
                        _changed.wait(_LOOK_AGAIN_S)
            finally:
                crowd.pop()
    except BaseException:  # of a signal handler
        if taken:
            latch._free = None
        raise


def notify() -> None:
    """Tell the crowd that a lock is free."""
    with _guard:
        _changed.notify_all()


def exclusive(method: Method) -> Method:
    """Decorate a method of a Latch that holds the lock while it runs."""

    @wraps(method)
    def whole(self: Any, *args: Any) -> Any:
        take(self)
        try:
            return method(self, *args)
        finally:
            self._free = None
            if crowd:
                notify()

    return cast(Method, whole)
