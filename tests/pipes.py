"""What is written to a pipe until it is full, and read from it until there is room."""

from __future__ import annotations

import os
from contextlib import suppress

BLOCK = 65536


def fill(fd: int) -> None:
    """Write until that would block. The descriptor is blocking afterwards."""
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        while True:
            os.write(fd, bytes(BLOCK))
    os.set_blocking(fd, True)


def make_room(fd: int) -> None:
    """Read until a pipe that was full is empty."""
    while len(os.read(fd, 1 << 20)) < BLOCK:
        pass
