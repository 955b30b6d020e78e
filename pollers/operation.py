"""The contract of every poller: operations on sockets, the two directions they run in, and how they end.

An operation is lazy and belongs to one direction of one handle. Its first step makes an attempt. If that would block,
the operation yields its Direction, and the caller parks a waiter there. poll() returns the waiter when the operation
has finished. Some systems report that a socket is ready (epoll, kqueue), others that a call has completed (IOCP). An
operation hides the difference, since both kinds of poller resume a waiter in the same way.
This module must not know how a system waits, or what a waiter is: poll() returns each one as park() received it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from .foreign import Foreign

if TYPE_CHECKING:
    import socket

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# The states of a direction. CLOSED and FORKED are bits that stay set. FAILED is set together with FINISHED. The other
# states replace each other:
#     IDLE -> OFFERED -> PARKED -> FINISHED -> IDLE
#     IDLE -> PASSING -> IDLE             (nothing attempted yet: other threads run first)
#     PARKED -> PASSING                   (ready; the resumed waiter makes the attempt, or sends the rest)
#     PARKED -> CANCELLING -> FINISHED    (if the kernel owns the operation: IOCP, io_uring)
IDLE: Final = 0
OFFERED: Final = 1
PARKED: Final = 2
CANCELLING: Final = 4
FINISHED: Final = 8
CLOSED: Final = 16
FORKED: Final = 32
FAILED: Final = 64
PASSING: Final = 128

# How many operations in a row may finish without a wait before the next one lets other threads run. 64 costs nothing
# measurable and limits how long one thread can hold up the others.
STREAK_MAX: Final = 64

Sock: TypeAlias = "socket.socket"
"""A socket of the standard library, or an object that a poller uses instead of a kernel socket."""

Address = Any
"""A socket address in the form that the standard library uses: (host, port), (host, port, flow, scope), or a path."""


class Closed(OSError):
    """The socket was closed on this side. If the peer ends the connection, a receive returns the end of the stream or
    raises ConnectionResetError instead."""

    bytes_sent: int = 0
    """How many bytes the kernel had taken when this error ended a send."""

    def __init__(self, message: str = "the socket is closed") -> None:
        super().__init__(errno.EBADF, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.strerror,), self.__dict__ or None


class Busy(OSError):
    """Another operation is in flight in this direction of the socket. The other one continues; this one did nothing."""

    def __init__(self, message: str = "another thread is using this direction of the socket") -> None:
        super().__init__(errno.EBUSY, message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.strerror,), self.__dict__ or None


class Exhausted(OSError):
    """The system has run out of descriptors or memory, or the queue of a UNIX listener or receiver is full.

    `errno` says which. Nothing is lost. No event reports when there is room again, so try again later. Raised by
    accept, connect and sendto.
    """


class Cancelled(BaseException):
    """The wait was cancelled on request. It is not an Exception, so that no `except Exception` swallows it."""

    bytes_sent: int = 0
    """How many bytes the kernel had taken when this error ended a send."""
    meant_for: object = None
    """The waiter that was asked to end. For any other waiter this is an ordinary error."""


def bytes_sent(error: BaseException) -> int:
    """Return how many bytes the kernel had taken when `error` ended a send: `error.bytes_sent`, or 0 if it has none.

    Every error that ends a `sendall`, `sendv`, `sendfile` or `send_fds` early has this attribute: TimeoutError,
    Cancelled, Closed or another OSError. Python's own classes do not declare the attribute, so a type checker accepts
    only this function for them.
    """
    sent: int = getattr(error, "bytes_sent", 0)
    return sent


def system_error(number: int) -> OSError:
    """Return an error for the errno `number`, of the OSError subclass that fits it and with the system's text."""
    if sys.platform == "win32":
        from ctypes import WinError  # the C library has no texts for Winsock's errors

        return WinError(number)
    return OSError(number, os.strerror(number))


class Operation(Protocol[T_co]):
    """One operation on a socket. A generator takes it with `yield from`, an async function with `await`.

    It can be awaited once. A second await raises RuntimeError, both during the first one and after it has ended.
    """

    def __iter__(self) -> Generator[Any, None, T_co]: ...
    def __await__(self) -> Generator[Any, None, T_co]: ...
    def close(self) -> None:
        """Drop the operation on purpose before its first step, so that nobody reports it as forgotten."""


if TYPE_CHECKING:

    def Once(steps: Generator[Any, None, T], /) -> Operation[T]:
        """Return an operation that runs the steps of a generator."""

else:
    from .once import Once as Once


class Direction(Protocol):
    """The reading or the writing half of a handle. It records the one operation that may run in it."""

    waiter: Any
    """The waiter that was given to park(), or None."""

    @property
    def error(self) -> BaseException | None:
        """The error that a finished operation will raise, or None."""

    def park(self, waiter: Any, /) -> bool:
        """Wait for the operation that was just yielded.

        Returns True if it has finished; the caller resumes `waiter` now. Returns False if poll() will return `waiter`.
        """

    @property
    def over(self) -> bool:
        """Whether the operation has finished and no later poll() will return its waiter."""

    def cancel(self, error: BaseException, /) -> bool:
        """Give up the wait; `error` is what the operation raises then.

        Returns True if the operation has ended with `error`. It has consumed nothing; the caller resumes the waiter.
        Returns False if it is too late, or if the kernel can only be asked to stop. Then poll() returns the waiter, or
        has returned it already, and the operation ends with its true outcome or with `error`.
        """

    def describe(self) -> str:
        """Return what this direction is doing, for people: 'recv on fd 7'."""

    def fileno(self) -> int:
        """Return the handle's descriptor, or -1 if it is closed."""


class Handle(Protocol):
    """A socket as its poller knows it.

    An operation raises Closed if the handle is closed, Busy if its direction is in use, or an OSError with a POSIX
    errno. It keeps its `owner` alive until it ends, so a socket object survives its own last receive.
    A cancelled receive, accept or wait has consumed nothing. A cancelled send has sent nothing. A cancelled connect
    continues in the kernel, and only close() is certain to work on that socket.
    """

    @property
    def reading(self) -> Direction: ...
    @property
    def writing(self) -> Direction: ...
    @property
    def sock(self) -> socket.socket:
        """The non-blocking socket. The handle owns it."""

    def fileno(self) -> int:
        """Return the descriptor, or -1 if it is closed."""

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        """Receive 1 to `n` bytes. Returns b'' at the end of the stream, and if `n` is 0. recv(2).

        Raises ValueError if `n` is negative, OverflowError if it is larger than any buffer.
        """

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        """Receive up to `n` bytes into `buffer` (0: its length). Returns how many; 0 is the end of the stream. recv(2).

        Raises ValueError if `n` is negative or more than the buffer has room for, TypeError if the buffer is read-only.
        """

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        """Receive one datagram, and drop what goes beyond `n` bytes. Returns it and its sender's address. recvfrom(2).

        Raises the same errors as recv().
        """

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        """Receive one datagram into `buffer`. Returns the number of bytes stored and the sender's address.

        `n` and the errors are those of recv_into().
        """

    def accept(self, owner: object = None, /) -> Operation[tuple[Handle, Address]]:
        """Accept a connection. Returns its handle, attached to the same poller, and the peer's address. accept(2).

        Raises Exhausted if the system has no descriptor or memory for it; the connection stays in the queue.
        """

    def wait_readable(self, owner: object = None, /) -> Operation[None]:
        """Wait until a receive or an accept would not block. Consumes nothing."""

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        """Send some of `data`. Returns how many bytes the kernel took. Never causes SIGPIPE. send(2)."""

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        """Send all of `data`. An error that ends it early has `bytes_sent`: how many bytes the kernel had taken."""

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        """Send one datagram to a numeric `address`. Returns its length in bytes. sendto(2).

        Raises Exhausted if the queue of a UNIX receiver is full.
        """

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        """Send up to `count` bytes of the file `fd`, from byte `offset` on. sendfile(2).

        Returns how many bytes the kernel took; 0 at the end of the file. Raises io.UnsupportedOperation if the system
        cannot send from such a file.
        """

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        """Connect to a numeric `address`. Raises Exhausted if the queue of a UNIX listener is full. connect(2)."""

    def wait_writable(self, owner: object = None, /) -> Operation[None]:
        """Wait until a send would not block."""

    def told(self, error: OSError | None = None, /) -> OSError | None:
        """Report the outcome of a direct call on `sock`. Returns the error to raise for it, or None.

        Use it after a receive, a send or a read of SO_ERROR that was not an operation. `error` is what that call
        raised; None means that it returned the end of the stream.
        The kernel reports only once why a connection has ended, to the first caller that asks. Later callers get EPIPE
        or an end of stream. So the handle remembers the error, and both directions raise it: a reset connection has no
        end of stream, unless a receive has returned that before. After a send has raised the error, later sends raise
        EPIPE.
        """

    def close(self) -> None:
        """End both operations with Closed, unregister, then close the descriptor. A second call does nothing.

        It does not wait, whatever SO_LINGER says. If the descriptor belongs to another socket or file by now, it stays
        open.
        """

    def detach(self) -> socket.socket:
        """End both operations with Closed, unregister, and return the open socket, which is still non-blocking.

        Raises Closed if the handle is closed, and io.UnsupportedOperation if the system cannot unregister the socket.
        """


def end_of_stream(handle: Handle) -> None:
    """Call this when a receive on `handle.sock` has returned no bytes. Raises the error if the connection was lost."""
    error = handle.told()
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


@dataclass(frozen=True, slots=True)
class Stats:
    """A poller's counters: handles attached now, operations parked now, poll() calls, events seen, wake-ups sent."""

    attached: int
    parked: int
    polls: int
    events: int
    wakeups: int


class Poller(Protocol):
    """Waits for operations. After a fork, every method except shutdown() raises RuntimeError in the child process."""

    @property
    def name(self) -> str: ...

    streak: int
    """How many operations in a row have finished without a wait. park() sets it to 0. At STREAK_MAX the next operation
    yields before it attempts anything, and can be cancelled with nothing consumed. A caller that sets STREAK_MAX before
    it resumes a waiter makes that waiter's next operation yield."""

    def now(self) -> float:
        """Return the time in seconds, by a clock that never goes back. poll() measures its timeout with this clock.

        This is time.monotonic() if the poller waits in the kernel. The method stays the same object, so that a caller
        may keep it.
        """

    def socket(self, family: int, type: int, proto: int, /) -> Sock:
        """Make a socket that attach() takes. socket(2)."""

    def socketpair(self, family: int, type: int, proto: int, /) -> tuple[Sock, Sock]:
        """Make two connected sockets, streams or datagram sockets. socketpair(2).

        Pairs of an internet family are connected over the loopback interface. Raises OSError if the family has no
        pairs.
        """

    def adopt(self, fileno: int, /) -> Sock:
        """Take over an open descriptor, with its own family and type. Raises OSError if it is not a socket."""

    def file(self, fileno: int, /) -> Sock:
        """Take over an open descriptor that is no socket: the end of a pipe, a terminal, a pidfd.

        Its handle can wait_readable() and wait_writable(), close() and detach(). Attaching does not make it
        non-blocking: other processes may have the same open file description. Raises OSError (EBADF);
        io.UnsupportedOperation if this poller waits for sockets only. A wait for a regular file raises PermissionError.
        """

    def foreign(self, fileno: int, writing: bool, /) -> Foreign:
        """Prepare a wait for one direction of a descriptor that stays somebody else's, a socket or another file.

        Attach its `sock`. The handle becomes readable when a read, or with `writing` a write, would not block. close()
        leaves the descriptor open and not registered anywhere. Raises as file() does, but PermissionError at once.
        """

    def ready(self, reading: Collection[int], writing: Collection[int], /) -> tuple[set[int], set[int]]:
        """Return which of `reading` a receive or accept would not block on, and which of `writing` a send would not.

        The call itself never blocks. A number that is not an open descriptor is in neither set.
        """

    def attach(self, sock: Sock, /) -> Handle:
        """Take over `sock` for good: make it non-blocking and return its handle.

        Raises ValueError if the socket is attached already, Closed if it is closed. If another handle has the same
        descriptor number, somebody else has closed or taken over its descriptor. That handle is then closed, and the
        descriptor stays open for `sock`.
        """

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        """Return the waiters whose operations have finished, each once.

        Waits for the first one up to `timeout_s` seconds (None: forever), and takes up to `limit` events from the
        kernel. It may return early with an empty list. It runs no code of the waiters. It may also return the waiter of
        a receive that is ready but not made yet, or of a long send that lets others run. The resumed operation then
        continues, and yields again if it has to wait. Raises only if the poller itself is broken.
        """

    def wakeup(self) -> None:
        """Make poll() return soon. Any OS thread or signal handler may call it. No system call if nobody waits."""

    def wakeup_fileno(self) -> int:
        """Return a descriptor for signal.set_wakeup_fd(), so that a signal ends the wait."""

    def fileno(self) -> int:
        """Return the kernel's descriptor (epoll, kqueue). Raises OSError if there is none."""

    def watch(self) -> bool:
        """Let another event loop wait until fileno() is readable, and call poll(0) then. wakeup() ends its wait, too.

        Returns False if poll() would return at once. Raises io.UnsupportedOperation if no other loop can wait for it.
        """

    def stats(self) -> Stats:
        """Return the counters as they are now."""

    def share(self) -> None:
        """Let several OS threads use the poller from now on. Only one of them at a time may call poll().

        A poller that needs a lock for this takes pollers.lock. Its user must hold the same lock while it parks and
        cancels: a signal handler may run in the middle of an attempt, and would take two locks in the other order.
        Each waiter is still returned once. Each OS thread has a `streak` of its own. Call share() while no other OS
        thread uses the poller.
        """

    def shutdown(self) -> list[Any]:
        """Close all attached handles and free the kernel's object. A second call does nothing.

        Returns the waiters whose operations this has ended with Closed. No poll() returns them, so the caller must
        resume them.
        """
