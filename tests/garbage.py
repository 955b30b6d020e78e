"""Objects that only the garbage collector can free. A program may run without it."""

from __future__ import annotations

import gc
from collections.abc import Callable


def left_by(run: Callable[[], object]) -> list[str]:
    """Call it twice, and return the types that the second call has left. The first call makes what is kept for good."""
    run()
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        run()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return sorted(type(one).__name__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        if enabled:
            gc.enable()
