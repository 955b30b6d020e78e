"""The lock under which it changes who waits for what.

Several OS threads may serve one scheduler, so waits, timers and interruptions are changed under one lock. There is one
for all schedulers and their pollers: it is held for a few instructions at a time, never while a thread runs. It may be
taken again by who holds it. A signal handler, or a finalizer, can come while its OS thread does: then it is in the
middle of a change, and must not make another one, but leave it to the loop.
"""

from __future__ import annotations

from collections.abc import Callable

from pollers import lock

__all__ = ["is_held", "lock"]

is_held: Callable[[], bool] = lock._is_owned  # type: ignore[attr-defined]
"""Whether this OS thread holds it: threading.Condition asks in the same way."""
