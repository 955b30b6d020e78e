"""The lock under which it changes who waits for what.

Several OS threads may serve one scheduler, so waits, timers and interruptions are changed under one lock. There is one
for all schedulers and their pollers: it is held for a few instructions at a time, never while a thread runs. It may be
taken again by who holds it, as a signal handler does.
"""

from __future__ import annotations

from pollers import lock

__all__ = ["lock"]
