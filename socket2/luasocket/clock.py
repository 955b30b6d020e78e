"""Time: to pass it, and to tell it."""

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
    """Return the UNIX time in seconds, as it was when this was imported and has passed since.

    It passes as now() says, so differences are true whatever becomes of the system's clock meanwhile.
    """
    return _EPOCH + now()


def sleep(seconds: float) -> Operation[None]:
    """Let `seconds` pass, a negative number none; other threads run meanwhile. TypeError for no number."""
    if seconds is None:
        raise TypeError("number expected, got NoneType")
    return _sleep(seconds_of(seconds) or 0)


@call
def _sleep(seconds: float) -> Generator[Any, None, None]:
    yield from sleeping.sleep(seconds)
