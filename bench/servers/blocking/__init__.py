"""Echo servers whose handlers block: a request of "block MS" is answered after MS milliseconds of time.sleep().

The sleep stands for a C library, a database or a slow disk: the OS thread is blocked, and the GIL is released.
"""

from __future__ import annotations

import time

MARK = b"block "


def block(request: bytes) -> None:
    """Block this OS thread for as long as the request says."""
    time.sleep(int(request.removeprefix(MARK)) / 1000)
