"""The one lock of all shared pollers written in Python. Code that parks and cancels operations on them takes it, too.

It is held for a few instructions at a time. With two locks there would be deadlocks: a signal handler or a finalizer
can run anywhere, also while one lock is held, and would take them in the other order. For the same reason the lock is
reentrant.
"""

from __future__ import annotations

import os
import threading

lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # fork() holds the lock. Otherwise the child could inherit it locked, without the OS thread that would release it.
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
