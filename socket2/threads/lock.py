"""The lock that protects which thread waits for what.

Several OS threads may serve one scheduler, so they change waits, timers and interruptions under a lock. All schedulers
and pollers share this one. It is held for a few instructions at a time, and never while a thread runs. The holder may
take it again, so it does not keep out a signal handler or finalizer that runs in the same OS thread. That code checks
is_held(): if True, it has interrupted a change, must not make another one, and posts its request to the loop.
Such a handler may also raise. So no loop inside a `with lock:` block ends with a condition, as in `while condition:`,
`for ...: if ...:` or `[... if ...]`. Python 3.12 and 3.13 compile its jump back outside the block, and an exception
that is raised at this jump would leave the lock held.
"""

from __future__ import annotations

from collections.abc import Callable

from pollers import lock

__all__ = ["is_held", "lock"]

is_held: Callable[[], bool] = lock._is_owned  # type: ignore[attr-defined]
"""Whether this OS thread holds the lock. threading.Condition calls the same method."""
