"""How long the queues and channels of this process are, and where each was made. Recorded while debugging is on."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from ..threads.exchange import Exchange
from .snapshot import again
from .stacks import is_inside

# Weak: the program alone keeps its queues.
_made_at: weakref.WeakKeyDictionary[Exchange[Any], str] = weakref.WeakKeyDictionary()


def note(exchange: Exchange[Any]) -> None:
    """Note where the program makes a queue."""
    frame = sys._getframe(1)
    while (
        is_inside(frame) or frame.f_globals.get("__name__") == "typing"
    ) and frame.f_back is not None:  # Queue[int]()
        frame = frame.f_back
    _made_at[exchange] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    del frame


def backlogs() -> list[dict[str, Any]]:
    """Return as JSON data what is in the queues: together for all that were made in the same place."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for exchange, place in again(lambda: list(_made_at.items())):
        empty = {"kind": exchange.kind, "made_at": place, "queues": 0, "items": 0, "longest": 0, "size": exchange.size}
        known = found.setdefault((exchange.kind, place), empty | {"getting": 0, "putting": 0})
        known["queues"] += 1
        known["items"] += len(exchange)
        known["longest"] = max(known["longest"], len(exchange))
        known["getting"] += len(exchange.getters)
        known["putting"] += len(exchange.putters)
    return list(found.values())
