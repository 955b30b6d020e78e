"""Objects that only the garbage collector can free. A program may run without it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def without_collector() -> Iterator[None]:
    """Let only reference counts free objects in the block."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def left_by(run: Callable[[], object]) -> list[str]:
    """Call it twice, and return the types that the second call has left. The first call makes what is kept for good."""
    run()
    with without_collector():
        try:
            run()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return sorted(type(one).__name__ for one in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()


@cache
def generators_keep_their_callers() -> bool:
    """Return whether the frame of a generator that has failed refers to its caller's, as in Python 3.12 and 3.13.

    So there are cycles then that no code can avoid.
    """

    def fails() -> Iterator[None]:
        raise LookupError
        yield

    try:
        next(fails())
    except LookupError as error:
        at = error.__traceback__
    return at is not None and at.tb_next is not None and at.tb_next.tb_frame.f_back is not None
