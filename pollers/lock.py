"""The lock of all pollers that several OS threads use and that need one; whoever drives them is to use it, too.

There is one, held for a few instructions at a time. Were there two, somebody would take them in the other order: a
signal handler or a finalizer, which run anywhere, also under one of them. It may be taken again by who holds it.
"""

from __future__ import annotations

import os
import threading

lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # Held over a fork, or another OS thread's hold on it would be inherited by a child in which that does not exist.
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
