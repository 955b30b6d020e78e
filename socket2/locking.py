"""The lock under which it changes who waits for what.

Several OS threads may serve one scheduler, so waits, timers and interruptions are changed under one lock. There is one
for all schedulers: it is held for a few instructions at a time, never while a thread runs, and nobody can take two in
different orders. It may be taken again by who holds it, as a signal handler does. Pollers that need one get this one.
"""

from __future__ import annotations

import os
import threading

lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # Held over a fork, or another OS thread's hold on it would be inherited by a child in which that does not exist.
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
