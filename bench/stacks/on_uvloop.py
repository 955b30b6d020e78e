"""uvloop: the tasks of asyncio on uvloop's event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from bench.stacks.on_asyncio import lookup, spawn, switch, timers

__all__ = ["lookup", "run", "spawn", "switch", "timers"]


def run(task: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    uvloop.run(task(*args))
