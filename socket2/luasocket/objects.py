"""What all objects share: a class that changes with their state, options, timeouts, a descriptor.

The system's socket is made once its family is known. For tcp() and udp() the first address decides that.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import pollers
from pollers import Busy, Closed

from ..sockets.socket import Socket, direction_of
from . import options
from .messages import Message, system_message
from .timeouts import Timeouts

if TYPE_CHECKING:
    from typing import Self

S = TypeVar("S", bound=Socket)

Done = tuple[int | None, Message | None]
"""(1, None) or (None, err)."""


class Object(pollers.Unique, Generic[S]):
    """The base class of TCP, UDP and UNIX objects. Close them with close() or `with`; otherwise there is a warning."""

    __slots__ = ("_any", "_class", "_closed", "_family", "_made_at", "_options", "_sock", "_timeouts")

    _kind = ""
    _settable: frozenset[str] = frozenset()
    _gettable: frozenset[str] = frozenset()

    def __init__(self, family: str | None, cls: str, made_at: str) -> None:
        self._family = family
        self._any = family is None  # the next address decides its family
        self._class = cls
        self._made_at = made_at
        self._sock: S | None = None
        self._closed = False
        self._options: dict[str, Any] = {}
        self._timeouts = Timeouts()

    # The system's socket.

    def _make(self, family: str, fileno: int | None = None) -> S:
        """Make the system's socket, or take over the descriptor `fileno`."""
        raise NotImplementedError

    def _open(self, family: str) -> S:
        """Return the system's socket; make it if there is none yet. Raises Closed if the object is closed."""
        if self._closed:
            raise Closed
        if self._sock is None:
            sock = self._make(family)
            try:
                for name, value in self._options.items():
                    options.write(sock, name, value)
            except BaseException:
                sock.close()
                raise
            self._sock = sock
            self._family = family
        return self._sock

    def _with_descriptor(self) -> Self:
        """Return the object, with a descriptor if the system has one for it now."""
        assert self._family is not None
        if self._family == "inet6":
            self._options["ipv6-v6only"] = True
        with suppress(OSError):
            self._open(self._family)
        return self

    @property
    def _opened(self) -> S:
        """The system's socket. Raises Closed if there is none."""
        if self._sock is None or self._sock.closed:
            raise Closed
        return self._sock

    def _need(self, method: str, *classes: str) -> None:
        """Raise TypeError unless the object has one of these classes."""
        if self._class not in classes:
            wanted = " or ".join(f"{self._kind}{{{cls}}}" for cls in classes)
            raise TypeError(f"calling '{method}' on bad self ({wanted} expected, got {self._kind}{{{self._class}}})")

    def _drop(self) -> None:
        """Give up the system's socket. The next call makes a new one."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    # Timeouts and options.

    def settimeout(self, value: float | None = None, mode: str | None = None) -> int:
        """Limit how many seconds calls may wait; None or a negative number: no limit. Return 1.

        `mode` "b" (block, the default): each single wait; a call may have many. "t" (total; "r" in old Lua programs):
        the whole call. Both may be set: the one that expires first counts. 0: no waiting; what can be done at once is
        done. The object is still usable after a 'timeout'. Raises TypeError if `value` is not a number, ValueError if
        the mode is unknown.
        """
        self._timeouts.set(value, "b" if mode is None else mode)
        return 1

    def gettimeout(self) -> tuple[float, float]:
        """Return the block and the total timeout in seconds, -1 for no limit."""
        block, total = self._timeouts.block, self._timeouts.total
        return -1 if block is None else block, -1 if total is None else total

    def setoption(self, option: str, value: Any = None) -> Done:
        """Set an option by its name; return (1, None) or (None, 'setsockopt failed').

        If the system's socket does not exist yet (see tcp()), the option is stored, and set when it is made. Raises
        ValueError if the name is unknown, TypeError if the value has the wrong type: see options in docs/luasocket.md.
        """
        options.check(option, self._settable)
        value = options.checked(option, value)
        try:
            if not self._closed:
                if self._sock is not None:
                    options.write(self._sock, option, value)
                self._options[option] = value
                return 1, None
        except OSError as error:
            return None, Message("setsockopt failed", error.errno)
        return None, Message("setsockopt failed", errno.EBADF)

    def getoption(self, option: str) -> tuple[Any, Message | None]:
        """Return (value, None) or (None, 'getsockopt failed').

        The option `error` returns the message of the pending error and clears it. Raises ValueError if the name is
        unknown.
        """
        options.check(option, self._gettable)
        if self._sock is None and not self._closed and option in self._options:
            return self._options[option], None
        try:
            return options.read(self._opened, option), None
        except OSError as error:
            return None, Message("getsockopt failed", error.errno)

    # The descriptor.

    def getfd(self) -> int:
        """Return the descriptor, -1 if the object is closed or has none yet."""
        return self._sock.fileno() if self._sock is not None else -1

    def setfd(self, fd: int) -> None:
        """Replace the descriptor by the open descriptor `fd`. The old one stays open, and then belongs to the caller.

        -1 only gives up the old one. Raises ValueError if `fd` is another type of socket.
        """
        if isinstance(fd, bool) or not isinstance(fd, int):
            raise TypeError(f"a descriptor must be a number, not {fd!r}")
        sock = self._make("inet", fd) if fd >= 0 else None
        if self._sock is not None and not self._sock.closed:
            self._sock.detach()
        self._sock = sock
        self._closed = sock is None
        if sock is not None:
            self._family, self._any = sock.family, False

    def _refuse_if_in_use(self, side: Literal["reading", "writing"]) -> None:
        """Raise Busy if a thread waits in this direction."""
        direction = direction_of(self._sock, side) if self._sock is not None else None
        if direction is not None and direction.waiter is not None:
            raise Busy(f"another thread is {side} this socket already: {direction.describe()}")

    def dirty(self) -> bool:
        """Return whether received data is in a buffer, where select() on the descriptor cannot see it."""
        return False

    # The end.

    def close(self) -> int:
        """Close the object. Return 1. Calls that wait return 'closed'; a second close does nothing."""
        self._closed = True
        if self._sock is not None:
            self._sock.close()
        return 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{self._kind}{{{self._class}}}: {id(self):#x}"


class Named:
    """The names of objects with IP addresses."""

    __slots__ = ()

    _family: str | None
    _opened: Any

    def getfamily(self) -> str:
        """Return "inet4" or "inet6"; "inet4" if the object has no family yet."""
        return "inet6" if self._family == "inet6" else "inet4"

    def getsockname(self) -> tuple[str | None, int | Message | None, str | None]:
        """Return the local (ip, port, family), with "inet" or "inet6"; or (None, err, None)."""
        return self._name("getsockname")

    def _name(self, which: str) -> tuple[str | None, int | Message | None, str | None]:
        try:
            host, port, *_ = getattr(self._opened, which)()
        except OSError as error:
            return None, system_message(error), None
        return host, port, self._family
