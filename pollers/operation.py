"""What every poller offers: operations on sockets, the two directions they run in, and how they end.

An operation is lazy and belongs to one direction of one handle. Its first step attempts it; where it would block it
yields the Direction, whoever drives it parks a waiter there, and poll() returns that waiter when it is finished.
Nothing here knows an operating system, and nothing here knows what a waiter is: it is handed back as it was given.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import socket

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# A direction's states. CLOSED and FORKED are bits that stay, FAILED goes with FINISHED; the others replace each other:
#     IDLE -> OFFERED -> PARKED -> FINISHED -> IDLE        IDLE -> PASSING -> IDLE (not attempted yet: others first)
#     PARKED -> CANCELLING -> FINISHED                     (where the kernel owns the operation: IOCP, io_uring)
#     PARKED -> PASSING                                    (something has come; its waiter's step is to take it)
IDLE: Final = 0
OFFERED: Final = 1
PARKED: Final = 2
CANCELLING: Final = 4
FINISHED: Final = 8
CLOSED: Final = 16
FORKED: Final = 32
FAILED: Final = 64
PASSING: Final = 128

# How many operations may finish at once, one after the other, before the next one lets other threads run first. 64
# costs nothing measurable and bounds what one thread can take from the others.
STREAK_MAX: Final = 64

Sock: TypeAlias = "socket.socket"
"""The standard library's socket, or one that a poller has made of something else than the kernel's."""

Address = Any
"""A socket address as the standard library has it: (host, port), (host, port, flow, scope), or a path."""


class Closed(OSError):
    """The socket was closed on this side. Not the peer's doing: that is an end of stream or a ConnectionResetError."""

    bytes_sent: int = 0
    """How many bytes of a send the kernel had taken."""

    def __init__(self, message: str = "the socket is closed") -> None:
        super().__init__(errno.EBADF, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.strerror,), self.__dict__ or None


class Busy(OSError):
    """Another operation is in flight in this direction of the socket. That one goes on; this one did nothing."""

    def __init__(self, message: str = "another thread is using this direction of the socket") -> None:
        super().__init__(errno.EBUSY, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.strerror,), self.__dict__ or None


class Exhausted(OSError):
    """The system had no room for it just now: descriptors, memory, a UNIX listener's or receiver's queue (errno tells).

    Nothing was lost, and no event will tell when there is room: try again later. Raised by accept, connect and sendto.
    """


class Cancelled(BaseException):
    """The wait was given up because somebody asked for it. No Exception, so that no `except Exception` swallows it."""

    bytes_sent: int = 0
    """How many bytes of a send the kernel had taken."""
    meant_for: object = None
    """The waiter that was asked to end. Found in anybody else's hands, it is an error like others."""


def bytes_sent(error: BaseException) -> int:
    """Return how many bytes the kernel had taken when this error ended a send: `error.bytes_sent`, and 0 without one.

    The attribute is there on whatever ends a `sendall`, `sendv`, `sendfile` or `send_fds` early: TimeoutError,
    Cancelled, Closed, an OSError. Python's own classes do not declare it, so for them a type checker accepts
    only this function.
    """
    sent: int = getattr(error, "bytes_sent", 0)
    return sent


def system_error(number: int) -> OSError:
    """Return the OSError subclass that belongs to the errno `number`, with the system's text."""
    if sys.platform == "win32":
        from ctypes import WinError  # the C library has no texts for what comes from Winsock

        return WinError(number)
    return OSError(number, os.strerror(number))


class Operation(Protocol[T_co]):
    """One attempt at something on a socket; `yield from` it in a generator, `await` it in an async def.

    Once: while it is awaited, and when it has ended, whoever else awaits it gets a RuntimeError.
    """

    def __iter__(self) -> Generator[Any, None, T_co]: ...
    def __await__(self) -> Generator[Any, None, T_co]: ...
    def close(self) -> None:
        """Drop it before its first step, on purpose."""


if TYPE_CHECKING:

    def Once(steps: Generator[Any, None, T], /) -> Operation[T]:
        """An operation of the steps that a generator makes."""

else:
    from .once import Once as Once


class Direction(Protocol):
    """The reading or the writing half of a handle, and the record of the one operation that may run in it."""

    waiter: Any
    """Who waits, as given to park(); None when nobody does."""

    @property
    def error(self) -> BaseException | None:
        """What a finished operation will raise, or None."""

    def park(self, waiter: Any, /) -> bool:
        """Wait for the operation just yielded. True: it is finished, resume now; False: poll() will return `waiter`."""

    def cancel(self, error: BaseException, /) -> bool:
        """Give up the wait. True: it has ended with `error`, nothing was consumed, and the caller resumes the waiter.

        False: too late, or asked only: poll() returns (or has returned) the waiter, and the outcome is the true one
        or `error`.
        """

    def describe(self) -> str:
        """Return what is going on here, for people: 'recv on fd 7'."""

    def fileno(self) -> int:
        """The handle's descriptor, -1 when that is closed."""


class Handle(Protocol):
    """A socket as its poller knows it. Every operation raises Closed, Busy, or an OSError with a POSIX errno.

    `owner` is kept alive for as long as the operation is: it is how a socket object survives its own last receive.
    A cancelled receive, accept or wait has consumed nothing; a cancelled send has sent nothing; a cancelled connect
    goes on in the kernel, and all that can be relied on is close().
    """

    @property
    def reading(self) -> Direction: ...
    @property
    def writing(self) -> Direction: ...
    @property
    def sock(self) -> socket.socket:
        """The standard library's socket, non-blocking; owned by the handle."""

    def fileno(self) -> int: ...

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        """Receive 1 to `n` bytes; b'' at the end of the stream. recv(2)."""

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        """Receive into `buffer`, `n` bytes at the most (0: its length); return how many. 0 is the end of the stream."""

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        """Receive a datagram, cut at `n` bytes, and its sender. recvfrom(2)."""

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        """Receive a datagram into `buffer`; return its length there and its sender."""

    def accept(self, owner: object = None, /) -> Operation[tuple[Handle, Address]]:
        """Take a connection: its handle, attached to the same poller, and the peer's address. accept(2).

        Raises Exhausted when the system has no descriptor or memory for it; the connection still waits.
        """

    def wait_readable(self, owner: object = None, /) -> Operation[None]:
        """Wait until a receive or an accept would not block. Consumes nothing."""

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        """Send some of `data`; return how many bytes the kernel took. send(2), never SIGPIPE."""

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        """Send all of `data`. Whatever ends it early carries `bytes_sent`: what the kernel had taken by then."""

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        """Send one datagram to a numeric `address`; return its length. sendto(2).

        Raises Exhausted when a UNIX receiver's queue is full.
        """

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        """Send up to `count` bytes of the file `fd` from `offset` on; return how many, 0 at its end. sendfile(2).

        Raises io.UnsupportedOperation where the system cannot send from such a file.
        """

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        """Connect to a numeric `address`. connect(2). Raises Exhausted when a UNIX listener's queue is full."""

    def wait_writable(self, owner: object = None, /) -> Operation[None]:
        """Wait until a send would not block."""

    def told(self, error: OSError | None = None, /) -> OSError | None:
        """Return what a call made on `sock` has come to: of its `error`, or with None of the end of the stream.

        For whoever receives, sends or reads SO_ERROR without an operation. The kernel tells once why a connection has
        ended, whoever asks first, and leaves EPIPE or an end of stream to the others. So each who is told tells, and
        the others raise it as well: a connection that was reset has no end of stream, unless that came before. Once a
        send has raised it, the next ones raise EPIPE.
        """

    def close(self) -> None:
        """End both operations with Closed, unregister, close. In this order; a second call does nothing.

        Does not wait, whatever SO_LINGER says. A descriptor that is another socket's or file's by now stays open.
        """

    def detach(self) -> socket.socket:
        """End both operations with Closed, unregister, and give the open socket back (still non-blocking)."""


def end_of_stream(handle: Handle) -> None:
    """A receive on `handle.sock` has returned nothing: raise why, if that was told to somebody else."""
    error = handle.told()
    if error is not None:
        try:
            raise error
        finally:
            del error  # which has this frame in its traceback


@dataclass(frozen=True, slots=True)
class Stats:
    """A poller's counters: handles attached now, operations parked now, poll() calls, events seen, wake-ups sent."""

    attached: int
    parked: int
    polls: int
    events: int
    wakeups: int


class Poller(Protocol):
    """Waits for operations. Made in one process; after a fork every method in the child but shutdown() raises."""

    @property
    def name(self) -> str: ...

    streak: int
    """Operations that finished at once, in a row; park() sets it to 0. When it is set to STREAK_MAX before a waiter is
    resumed, its next operation yields before anything is attempted, and can be cancelled with nothing consumed."""

    def now(self) -> float:
        """Return what time it is, in seconds of a clock that never goes back. poll() waits by it.

        It is time.monotonic() where the kernel waits. Who asks often may keep the method: what it is does not change.
        """

    def socket(self, family: int, type: int, proto: int, /) -> Sock:
        """Make a socket that attach() takes. socket(2)."""

    def socketpair(self, family: int, type: int, proto: int, /) -> tuple[Sock, Sock]:
        """Make two that are connected to each other. OSError for a family that has no pairs. socketpair(2)."""

    def adopt(self, fileno: int, /) -> Sock:
        """Take over an open descriptor, with the family and type that it has. OSError when it is no socket."""

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        """Tell which descriptors of `reading` a receive or accept would not wait on, and of `writing` a send.

        It does not wait itself. What is no open descriptor is in neither.
        """

    def attach(self, sock: Sock, /) -> Handle:
        """Take over `sock` for good: make it non-blocking and return its handle. Once per socket: else ValueError.

        A handle that has this descriptor is closed, without it: somebody else has closed it, or taken it over.
        """

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        """Return the waiters that are done, each once; wait for the first up to `timeout_s` (None: for ever).

        A receive for which something has come may be made when its waiter is resumed, or given up: it yields once more
        if somebody else was faster. Runs no code of the waiters. May return early with nothing. Raises only when the
        poller itself is broken.
        """

    def wakeup(self) -> None:
        """Make poll() return soon. From any OS thread or signal handler; no system call when nobody waits."""

    def wakeup_fileno(self) -> int:
        """A descriptor that signal.set_wakeup_fd takes, so that a signal ends the wait."""

    def fileno(self) -> int:
        """The kernel's descriptor (epoll, kqueue). OSError where there is none."""

    def stats(self) -> Stats: ...

    def share(self) -> None:
        """Let several OS threads use it from now on: all of it from any of them, but poll() from one at a time.

        A poller that needs a lock for that takes pollers.lock, which whoever drives it is to hold when it parks and
        cancels: a signal handler, which may come in the middle of an attempt, would take two in the other order.
        Each waiter is still returned once. `streak` is each OS thread's own. Called while no other OS thread uses it.
        """

    def shutdown(self) -> list[Any]:
        """Close what is still attached, free the kernel's object; return whose operations this has ended, with Closed.

        Nobody else will tell them. Twice is fine.
        """
