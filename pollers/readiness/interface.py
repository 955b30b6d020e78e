"""What the files of this room know of each other.

An attempt needs a handle, a handle needs the loop that it is attached to, and the loop makes handles. To keep this from
being a circle, attempts and handles know the protocols here. The classes above fit them.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from ..operation import Address, Direction, Handle

# What a back end reports, in the numbers that poll(2) and epoll(7) have on Linux. Any other bit means that the
# connection, or the peer's half of it, has come to an end, or that urgent data cuts the stream.
READABLE = 0x001
WRITABLE = 0x004


class Half(Direction, Protocol):
    """A direction, as an attempt knows it."""

    ready: bool
    """False: known to block until the next event."""


class Loop(Protocol):
    """The loop that a handle is attached to, as it and the attempts know it: see Engine."""

    streak: int
    kept: dict[Any, list[tuple[Any, Address]]]
    """Lists of the connections that were accepted and taken by nobody yet, by the handles of their listeners."""

    def admit(self, sock: socket.socket, drains: bool) -> Any:
        """Return the handle of a socket of which it is known whether a short receive empties it."""

    def arm(self, handle: Any, bit: int) -> None:
        """Report `bit` of this handle from now on. OSError ends the operation."""

    def finish(self, direction: Any) -> None:
        """poll() will return who waits for `direction` next."""

    def forget(self, handle: Any) -> None:
        """Stop reporting a handle that is about to be closed."""

    def forked_message(self) -> str: ...


class Attempting(Handle, Protocol):
    """A handle, as an attempt knows it."""

    armed: int
    """The bits that the back end watches, DRAINS, ENDED and TOLD."""

    @property
    def fd(self) -> int: ...
    @property
    def failure(self) -> int:
        """The errno of what has ended the connection, once the kernel has told."""

    @property
    def poller(self) -> Loop: ...
    @property
    def reading(self) -> Half: ...

    def begin_anew(self) -> None:
        """There is another connection, or one under way."""
