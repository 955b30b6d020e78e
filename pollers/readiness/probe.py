"""Which of many descriptors are ready now: one system call, and no wait."""

from __future__ import annotations

import select
from collections.abc import Collection

# What makes a descriptor readable, and writable, to select(2): a hang-up and an error, too.
_NOT_READABLE = getattr(select, "POLLOUT", 0) | getattr(select, "POLLNVAL", 0)
_WRITABLE = getattr(select, "POLLOUT", 0) | getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)


def ready(reading: Collection[int], writing: Collection[int]) -> tuple[set[int], set[int]]:
    """Return the descriptors of `reading` that a receive or accept would not wait on, those of `writing` for a send.

    What is no open descriptor is in neither. poll(2), or select(2) where there is none: then with its limits.
    """
    if not hasattr(select, "poll"):
        readable, writable, failed = select.select(reading, writing, writing, 0)
        return set(readable), {*writable, *failed}
    poll = select.poll()
    for fd in {*reading, *writing}:
        poll.register(fd, select.POLLIN * (fd in reading) | select.POLLOUT * (fd in writing))
    events = poll.poll(0)
    return (
        {fd for fd, mask in events if fd in reading and mask & ~_NOT_READABLE},
        {fd for fd, mask in events if fd in writing and mask & _WRITABLE},
    )
