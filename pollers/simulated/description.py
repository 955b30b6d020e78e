"""An open file description: what one or more descriptors of a host refer to, and the pollers that watch it.

The base of TCP, UDP and UNIX sockets. poll() says what is ready now. wake() tells the pollers that something has
changed; as in epoll, they look at poll() only when they report it, so what is stale by then is not reported.
"""

from __future__ import annotations

import errno
import os
from typing import Any, NoReturn

from ..operation import system_error
from .surroundings import Home, Watcher

# The bits of poll(2) and epoll(7).
IN, PRI, OUT, ERR, HUP, RDHUP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x2000

# shutdown(2): Description.shut has these bits.
NO_MORE_IN, NO_MORE_OUT = 1, 2
BOTH = NO_MORE_IN | NO_MORE_OUT

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
STREAM, DGRAM, RAW, SEQPACKET = 1, 2, 3, 5

MSG_OOB, MSG_PEEK, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT = 0x1, 0x2, 0x8, 0x20, 0x40
MSG_WAITALL, MSG_NOSIGNAL, MSG_ERRQUEUE = 0x100, 0x4000, 0x2000

Received = tuple[bytes, Any, int, list[tuple[int, int, bytes]]]
"""Data, the sender's address, flags and control data."""

_AGAIN = os.strerror(errno.EAGAIN)


def again() -> BlockingIOError:
    """Return the error of a call that would block."""
    return BlockingIOError(errno.EAGAIN, _AGAIN)


def fail(number: int) -> NoReturn:
    raise system_error(number)


class Description:
    """One open socket. It closes when its last descriptor does."""

    protocol = ""
    family = type = proto = 0
    is_listening = False

    def __init__(self, host: Home) -> None:
        self.host = host
        self.world = host.world
        self.references = 0  # descriptors, and messages that carry one
        self.watches: list[Watcher] = []
        self.options: dict[tuple[int, int], Any] = {}
        self.error = 0  # SO_ERROR
        self.shut = 0
        self.closed = False
        self.world.cookies += 1
        self.cookie = self.world.cookies

    # What a protocol says.

    def poll(self) -> int:
        """Return the bits that poll(2) would report."""
        raise NotImplementedError

    def close(self) -> None:
        """Do what the close of the last descriptor does."""

    def vanish(self) -> None:
        """Be gone without a word: the host has lost power."""
        self.closed = True
        self.watches.clear()

    def name(self) -> Any:
        fail(errno.ENOTSOCK)

    def peername(self) -> Any:
        fail(errno.ENOTSOCK)

    def bind(self, address: Any) -> None:
        fail(errno.EINVAL)

    def bind_path(self, path: Any, mode: int | None, begin: Any) -> Any:
        fail(errno.EINVAL)

    def listen(self, backlog: int) -> None:
        fail(errno.EOPNOTSUPP)

    def accept(self) -> tuple[Description, Any]:
        fail(errno.EOPNOTSUPP)

    def connect(self, address: Any, wait: bool) -> int:
        """Return 0 or an errno. `wait`: the caller is going to wait for the end of EINPROGRESS."""
        return errno.EOPNOTSUPP

    def disconnect(self) -> None:
        fail(errno.EINVAL)

    def receive(self, n: int, flags: int, room: int) -> Received:
        fail(errno.ENOTCONN)

    def send(self, data: Any, flags: int, address: Any, control: Any) -> int:
        fail(errno.ENOTCONN)

    def shutdown(self, how: int) -> None:
        fail(errno.ENOTCONN)

    def option_changed(self, level: int, option: int, value: Any) -> None:
        """An option has a new value."""

    # What all have.

    def take_error(self) -> int:
        """Return SO_ERROR, and forget it."""
        error, self.error = self.error, 0
        return error

    def raise_error(self) -> None:
        if self.error:
            fail(self.take_error())

    def wake(self, key: int) -> None:
        """Tell those who watch one of the bits in `key`; 0: everybody."""
        for watch in self.watches:
            if not watch.queued and (not key or key & watch.bits):
                watch.notice()
        self.world.stirred()

    def release(self) -> None:
        """Drop one reference."""
        self.references -= 1
        if not self.references and not self.closed:
            self.closed = True
            for watch in self.watches:
                watch.drop()
            self.watches.clear()
            self.close()
            self.world.stirred()

    def can_connect(self, address: Any) -> bool:
        """Return whether another connect(2) would not wait."""
        return True

    def may_be_reset(self, call: str) -> None:
        """Ask the faults whether the connection is lost now."""

    def unacknowledged(self) -> bool:
        """Return whether the peer has not got everything yet."""
        return False

    def end(self) -> None:
        """Begin an ordinary end of the connection."""

    def describe(self) -> str:
        return self.protocol
