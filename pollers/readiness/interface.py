"""What the modules of this package know of each other.

An attempt needs a handle, a handle needs its loop, and the loop makes handles. To avoid a circle of imports, attempts
and handles know only the protocols in this module. The classes in `handle` and `engine` implement them.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any, Protocol

from ..operation import Address, Direction, Handle

# The bits that a back end reports, with the values of poll(2) and epoll(7) on Linux. Any bit but the first two, such as
# EPOLLRDHUP, means that the connection or the peer's half of it has ended, or that there is urgent data in the stream.
READABLE = 0x001
WRITABLE = 0x004
HUNG_UP = 0x2000


class Half(Direction, Protocol):
    """A direction, as an attempt knows it."""

    ready: bool
    """False if an attempt is known to block until the next event."""


class Loop(Protocol):
    """The loop of a handle, as the handle and the attempts know it. See Engine."""

    streak: int
    streak_max: int
    """After a streak of this length an operation lets others run first. 0: it needs the lock for its attempts."""
    kept: dict[Any, list[tuple[Any, Address]]]
    """For each listener's handle, the connections that were accepted and that nobody has taken yet."""

    def admit(self, sock: socket.socket, drains: bool) -> Any:
        """Attach `sock` and return its handle. `drains`: a short receive means that the socket is empty."""

    def arm(self, handle: Any, bit: int) -> None:
        """Report `bit` of this handle from now on. An OSError ends the operation."""

    def finish(self, direction: Any) -> None:
        """Make the next poll() return the waiter of `direction`."""

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        """Return which of these descriptors are ready. See Poller."""

    def sendfile(self, sock: socket.socket, fd: int, offset: int, count: int, /) -> int:
        """Send up to `count` bytes of the file `fd`, without a wait. sendfile(2)."""

    def is_to_return(self, direction: Any) -> bool:
        """Return whether the next poll() will return the waiter of `direction`."""

    def forget(self, handle: Any) -> None:
        """Stop reporting a handle that is about to be closed."""

    def not_finished(self, direction: Any) -> bool:
        """Keep poll() from returning the waiter of `direction`. Returns False if poll() has returned it already."""

    def forked_message(self) -> str: ...


class Attempting(Handle, Protocol):
    """A handle, as an attempt knows it."""

    armed: int
    """The bits that the back end watches."""
    drains: bool
    """Whether a short receive has emptied the socket, so that the next one waits for an event first. True for TCP until
    the peer sends a FIN or urgent data."""

    @property
    def fd(self) -> int: ...
    @property
    def failure(self) -> int:
        """The errno that has ended the connection, once the kernel has reported it; else 0."""

    @property
    def poller(self) -> Loop: ...
    @property
    def reading(self) -> Half: ...

    def begin_anew(self) -> None:
        """Forget how the last connection ended: there is a new one, or one in progress."""
