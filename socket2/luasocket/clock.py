"""Time: reading it, and letting it pass."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from pollers import Operation

from ..threads import sleeping
from ..threads.loop import now
from .calls import call
from .timeouts import seconds_of

_EPOCH = time.time() - time.monotonic()


def gettime() -> float:
    """Return the UNIX time in seconds: its value at import, plus the time that has passed since.

    The time passes as in now(), so differences are correct even if the system's clock is set.
    """
    return _EPOCH + now()


def sleep(seconds: float) -> Operation[None]:
    """Wait for `seconds` while other threads run; not at all if negative. Raises TypeError if it is not a number."""
    if seconds is None:
        raise TypeError("number expected, got NoneType")
    return _sleep(seconds_of(seconds) or 0)


@call
def _sleep(seconds: float) -> Generator[Any, None, None]:
    yield from sleeping.sleep(seconds)
