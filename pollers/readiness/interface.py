"""What the modules of this package know of each other.

An attempt needs a handle, a handle needs its loop, and the loop makes handles. To avoid a circle of imports, attempts
and handles know only the protocols in this module. The classes in `handle` and `engine` implement them.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any, Protocol

from ..operation import Address, Direction, Handle

# The bits that a back end reports, with the values of poll(2) and epoll(7) on Linux. Any other bit means that the
# connection or the peer's half of it has ended, or that there is urgent data in the stream.
READABLE = 0x001
WRITABLE = 0x004


class Half(Direction, Protocol):
    """A direction, as an attempt knows it."""

    ready: bool
    """False if an attempt is known to block until the next event."""


class Loop(Protocol):
    """The loop of a handle, as the handle and the attempts know it. See Engine."""

    streak: int
    kept: dict[Any, list[tuple[Any, Address]]]
    """For each listener's handle, the connections that were accepted and that nobody has taken yet."""

    def admit(self, sock: socket.socket, drains: bool) -> Any:
        """Attach `sock` and return its handle. `drains`: a short receive means that the socket is empty."""

    def arm(self, handle: Any, bit: int) -> None:
        """Report `bit` of this handle from now on. An OSError ends the operation."""

    def finish(self, direction: Any) -> None:
        """Make the next poll() return the waiter of `direction`."""

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        """Return which of these descriptors are ready. See pollers.Poller."""

    def forget(self, handle: Any) -> None:
        """Stop reporting a handle that is about to be closed."""

    def forked_message(self) -> str: ...


class Attempting(Handle, Protocol):
    """A handle, as an attempt knows it."""

    armed: int
    """The bits that the back end watches, and the flags DRAINS, ENDED and TOLD."""

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
