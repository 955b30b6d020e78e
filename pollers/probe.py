"""Which of many descriptors are ready now. Nothing here waits. poll(2) needs one system call for all of them."""

from __future__ import annotations

import select
from collections.abc import Collection

# select(2) reports a hang-up and an error as readable and as writable.
_READABLE = ~(getattr(select, "POLLOUT", 0) | getattr(select, "POLLNVAL", 0))
_WRITABLE = getattr(select, "POLLOUT", 0) | getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)

# Each failure leaves fewer descriptors, unless their numbers are in use again.
_ATTEMPTS = 10


def ready(reading: Collection[int], writing: Collection[int]) -> tuple[set[int], set[int]]:
    """Return which of `reading` a receive or accept would not block on, and which of `writing` a send would not.

    A number that is not an open descriptor is in neither set. Uses poll(2), or select(2) with its limits if the system
    has no poll(2).
    """
    if not hasattr(select, "poll"):
        return _selected(reading, writing)
    poll = select.poll()
    for fd in reading:
        poll.register(fd, select.POLLIN)
    for fd in writing:
        poll.register(fd, select.POLLIN | select.POLLOUT if fd in reading else select.POLLOUT)
    events = poll.poll(0)
    if not events:
        return set(), set()
    return (
        {fd for fd, mask in events if mask & _READABLE and fd in reading} if reading else set(),
        {fd for fd, mask in events if mask & _WRITABLE and fd in writing} if writing else set(),
    )


def hung_up(fds: Collection[int]) -> set[int]:
    """Return which peers of these stream sockets send no more: they have ended their half, or are gone.

    Data that has come before the end may still be there. The set is empty on a system that does not tell this without
    taking the data (no POLLRDHUP).
    """
    end = getattr(select, "POLLRDHUP", 0)
    if not end:
        return set()
    poll = select.poll()
    for fd in fds:
        poll.register(fd, end)
    return {fd for fd, mask in poll.poll(0) if not mask & select.POLLNVAL}


def _selected(reading: Collection[int], writing: Collection[int]) -> tuple[set[int], set[int]]:
    """Do the same with select(2). It fails if a number is not an open descriptor, and on Windows if there are none."""
    for left in reversed(range(_ATTEMPTS)):
        if not reading and not writing:
            break
        try:
            readable, writable, failed = select.select(reading, writing, writing, 0)
        except OSError:  # another OS thread may close one at any time
            if not left:
                raise
            reading, writing = list(filter(is_open, reading)), list(filter(is_open, writing))
        else:
            return set(readable), {*writable, *failed}
    return set(), set()


def is_open(fd: int) -> bool:
    """Return whether select(2) takes this descriptor."""
    try:
        select.select([fd], [], [], 0)
    except (OSError, ValueError):
        return False
    return True
