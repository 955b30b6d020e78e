"""The one lock of all shared pollers written in Python. Code that parks and cancels operations on them takes it, too.

It is held for a few instructions at a time. With two locks there would be deadlocks: a signal handler or a finalizer
can run anywhere, also while one lock is held, and would take them in the other order. For the same reason the lock is
reentrant.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, TypeVar, cast

L = TypeVar("L")

# github.com/python/cpython/issues/148874: there, `with` calls __enter__() by an instruction that also checks for
# signals. If a signal handler raises at this check, the lock is acquired, and the block that releases it has not begun.
_WITH_CHECKS_FOR_SIGNALS = sys.version_info[:2] == (3, 14)


class _Leakproof:
    """A lock with an `__enter__()` in Python: the interpreter does not check for signals when it returns."""

    __slots__ = ("__exit__", "__pos__", "_is_owned", "acquire", "locked", "release")

    def __init__(self, made: Any) -> None:
        self.__pos__ = made.acquire
        for name in ("__exit__", "_is_owned", "acquire", "locked", "release"):
            if hasattr(made, name):  # not every kind of lock has all of them
                setattr(self, name, getattr(made, name))

    def __enter__(self) -> Any:
        return +self  # acquires it: an operator calls a function without a check for signals


def leakproof(made: L) -> L:
    """Return a lock that does the same as `made`, a new Lock or RLock of `threading`, for use in `with`.

    If a signal handler raises, either the lock has not been acquired, or the end of the `with` block releases it.
    """
    return cast(L, _Leakproof(made)) if _WITH_CHECKS_FOR_SIGNALS else made


lock = leakproof(threading.RLock())

if hasattr(os, "register_at_fork"):
    # fork() holds the lock. Otherwise the child could inherit it locked, without the OS thread that would release it.
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
