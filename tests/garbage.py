"""What only the garbage collector can free, which a program may run without."""

from __future__ import annotations

import gc
from collections.abc import Callable


def left_by(run: Callable[[], object]) -> list[str]:
    """Run it twice, the first time for what is made once and kept; return the types of what the second one has left."""
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
