"""Echo servers whose handlers block: a request of "block MS" is answered after MS milliseconds of time.sleep().

That stands for a C library, a database, a slow disk: the OS thread is away, and the GIL is not held.
"""

from __future__ import annotations

import time

MARK = b"block "


def block(request: bytes) -> None:
    """Be away for as long as the request says."""
    time.sleep(int(request.removeprefix(MARK)) / 1000)
