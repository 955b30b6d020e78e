"""Handles and directions of every poller that reports readiness: attempt, park, attempt again.

The first step of an operation makes an attempt. If it would block, the direction keeps the attempt, and every event
makes the same attempt again. So an event that is stale, spurious, or meant for an earlier socket of the same number
changes nothing, and a cancelled wait has consumed nothing. Knows sockets. Must not know how a poller waits, or time.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from .. import closing
from ..lengths import length, room
from ..operation import (
    CANCELLING,
    CLOSED,
    FAILED,
    FINISHED,
    FORKED,
    IDLE,
    OFFERED,
    PARKED,
    PASSING,
    STREAK_MAX,
    Address,
    Busy,
    Closed,
    Once,
    Operation,
    system_error,
)
from ..unique import Unique
from .attempts import ENDED, ENDS, TOLD
from .gone import Gone
from .interface import READABLE, WRITABLE, Loop
from .oneshot import OneShot, SendAll

if sys.platform == "win32":
    from . import winattempts as attempts
else:
    from . import attempts

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Direction(Unique):
    """One half of a handle. It is made once, and records each of its operations in turn."""

    __slots__ = ("attempt", "handle", "ready", "state", "value", "waiter", "watched")

    bit = 0
    kind = ""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.state = IDLE
        self.ready = True  # False: an attempt is known to block until the next event
        self.watched = False  # whether the back end watches this direction
        self.attempt: Callable[[Any, Any], Any] | None = None
        self.value: Any = None  # the argument of the attempt, then its result, or with FAILED the error
        self.waiter: Any = None

    @property
    def error(self) -> BaseException | None:
        return self.value if self.state & FAILED else None

    def operate(self, attempt: Callable[[Any, Any], Any], value: Any, owner: object) -> Operation[Any]:
        op = OneShot()
        op.pending = self
        op.attempt = attempt
        op.value = value
        op.owner = owner
        return op

    def answer(self, value: Any) -> Generator[Any, None, Any]:
        """Return `value` for an operation of 0 bytes, which needs no system call and no wait."""
        if self.state:
            raise self.refusal()
        if self.handle.poller.streak >= STREAK_MAX:
            yield from self.let_others_run(None)
        self.handle.poller.streak += 1
        return value

    def let_others_run(self, attempt: Callable[[Any, Any], Any] | None) -> Generator[Any, None, None]:
        """Yield once before any attempt. park() then returns True, and the operation is resumed after other threads."""
        self.attempt = attempt
        self.state = PASSING
        try:
            yield self
        except BaseException:
            self.abandon()
            raise
        if self.state != PASSING:
            self.outcome()
        self.state = IDLE

    def outcome(self) -> Any:
        """End an operation that failed, or whose handle was closed or forked before it was resumed."""
        value, state = self.value, self.state
        self.waiter = self.value = None
        self.state &= CLOSED | FORKED
        if state & FINISHED and not state & FAILED:
            return value
        if state & PASSING:
            value = self.refusal()
        elif not state & FINISHED:
            value = RuntimeError(f"resumed before it has finished: {self.describe()}")
        try:
            raise value
        finally:
            del value  # its traceback refers to this frame

    def park(self, waiter: Any, /) -> bool:
        self.handle.poller.streak = 0
        if self.state != OFFERED:
            return self._park_late()
        if not self.watched:
            try:
                self.handle.poller.arm(self.handle, self.bit)
            except OSError as error:
                self.fail(error)
                return True
            self.watched = True
        self.waiter = waiter
        self.state = PARKED
        return False

    def _park_late(self) -> bool:
        if not self.state & (FINISHED | PASSING):
            if not self.state & OFFERED:
                raise RuntimeError(f"nothing to wait for: {self.describe()}")
            self.end(self.refusal())  # closed since it was yielded
        return True

    def cancel(self, error: BaseException, /) -> bool:
        if not self.state & (OFFERED | PARKED | PASSING):
            return False
        resumed_anyway = self.state & PASSING
        self.end(error)
        return not resumed_anyway

    parked = property(lambda self: self.state == PARKED)
    over = property(lambda self: self.state & (FINISHED | PASSING) != 0 and not self.handle.poller.is_to_return(self))

    def close(self) -> None:
        """Mark this direction as closed. An operation in flight ends with Closed, and poll() returns its waiter."""
        self.state |= CLOSED
        # If a signal handler raises before the last step, close() can be repeated. In a forked child nobody waits.
        if self.state & (PARKED | CANCELLING) and not self.state & FORKED:
            self.handle.poller.finish(self)
            self.end(self.refusal())

    def try_again(self) -> bool:
        """Attempt the parked operation again after an event. Return True if it has finished."""
        self.ready = True
        if self.state != PARKED:
            return False
        assert self.attempt is not None
        try:
            self.value = self.attempt(self.handle, self.value)
        except BlockingIOError:
            self.ready = False
            return False
        except Exception as error:
            self.fail(error)
        else:
            self.state = FINISHED
        return True

    def fail(self, error: BaseException) -> None:
        """End the operation with the error of its attempt, or with one that the kernel reports."""
        self.end(self.told(error) if isinstance(error, OSError) else error)

    def told(self, error: OSError) -> OSError:
        """Return the error to raise for this one: the kernel may have reported the reason to another call."""
        return self.handle.told(error) or error

    def abandon(self) -> None:
        """End an operation whose generator was closed while it waited. An accepted connection is kept."""
        if self.state & FINISHED:
            if self.attempt is attempts.accept and self.error is None:
                self.handle.keep(self.value)
            self.handle.poller.not_finished(self)
        self.waiter = self.value = None
        self.state &= CLOSED | FORKED

    def refusal(self) -> Exception:
        """Return why no operation can start here now."""
        if self.state & FORKED:
            return RuntimeError(self.handle.poller.forked_message())
        if self.state & CLOSED:
            return Closed()
        return Busy(f"another thread is {self.kind} this socket already: {self.describe()}")

    def describe(self) -> str:
        name = self.attempt.__name__ if self.attempt is not None and self.state else self.kind
        return f"{name} on fd {self.handle.fd}"

    def fileno(self) -> int:
        return self.handle.fd

    def end(self, error: BaseException) -> None:
        self.value = error
        self.state = FINISHED | FAILED | (self.state & (CLOSED | FORKED))

    def __repr__(self) -> str:
        return f"<{self.describe()}, state {self.state}>"


class Reading(Direction):
    __slots__ = ()
    bit = READABLE
    kind = "reading"


class Writing(Direction):
    __slots__ = ()
    bit = WRITABLE
    kind = "writing"

    def told(self, error: OSError) -> OSError:
        error = super().told(error)
        if error.errno in ENDS:
            self.handle.ends |= TOLD
        return error


class Handle(Unique):
    """A socket and its two directions."""

    __slots__ = ("drains", "ends", "failure", "fd", "identity", "poller", "reading", "sock", "usual_n", "writing")

    directions: tuple[type[Reading], type[Writing]] = (Reading, Writing)

    def __init__(self, poller: Loop, sock: socket.socket, drains: bool) -> None:
        self.poller = poller
        self.sock = sock
        self.fd = sock.fileno()
        self.identity = closing.identity(sock)
        reading, writing = self.directions
        self.reading = reading(self)
        self.writing = writing(self)
        self.drains = drains  # see Attempting
        self.ends = 0  # ENDED and TOLD
        self.failure = 0  # the errno that has ended the connection, once the kernel has reported it
        self.usual_n = 1  # the size of the last receive, which need not be checked again

    def fileno(self) -> int:
        return self.fd

    @property
    def armed(self) -> int:
        """The bits that the back end watches."""
        return READABLE * self.reading.watched | WRITABLE * self.writing.watched

    @armed.setter
    def armed(self, bits: int) -> None:
        self.reading.watched = bool(bits & READABLE)
        self.writing.watched = bool(bits & WRITABLE)

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        if n is not self.usual_n:
            n = length(n)
            if not n:
                return Once(self.reading.answer(b""))
            self.usual_n = n
        op = OneShot()  # the same as operate(), without the call
        op.pending = self.reading
        op.attempt = attempts.recv
        op.value = n
        op.owner = owner
        return op

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        n = room(buffer, n)
        if not n:
            return Once(self.reading.answer(0))
        return self.reading.operate(attempts.recv_into, (buffer, n), owner)

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        length(n)
        return self.reading.operate(attempts.recvfrom, n, owner)

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        return self.reading.operate(attempts.recvfrom_into, (buffer, room(buffer, n)), owner)

    def accept(self, owner: object = None, /) -> Operation[tuple[Handle, Address]]:
        return self.reading.operate(attempts.accept, None, owner)

    def wait_readable(self, owner: object = None, /) -> Operation[None]:
        return self.reading.operate(attempts.wait_readable, None, owner)

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        return self.writing.operate(attempts.send, data, owner)

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        if type(data) is not bytes:
            return Once(self.send_rest(data, 0, owner))
        op = SendAll()
        op.pending = self
        op.data = data
        op.owner = owner
        return op

    def send_rest(self, data: ReadableBuffer, sent: int, owner: object) -> Generator[Any, None, None]:
        """Send `data` after its first `sent` bytes."""
        try:
            with memoryview(data) as view, view.cast("B") as octets:
                while True:
                    with octets[sent:] as rest:  # an error refers to this frame, which must not keep a view of the data
                        sent += yield from self.writing.operate(attempts.send, rest, owner)
                        if sent == len(octets):
                            return
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        return self.writing.operate(attempts.sendto, (data, address), owner)

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        return self.writing.operate(attempts.sendfile, (fd, offset, count), owner)

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        self.writing.ready = True  # the outcome of an earlier attempt does not matter
        return self.writing.operate(attempts.connect, [address, False, False], owner)

    def wait_writable(self, owner: object = None, /) -> Operation[None]:
        return self.writing.operate(attempts.wait_writable, None, owner)

    def told(self, error: OSError | None = None, /) -> OSError | None:
        if self.sock.type != socket.SOCK_STREAM:
            return error
        if error is None:
            if self.failure and not self.ends & ENDED:
                return system_error(self.failure)
            self.ends |= ENDED
        elif error.errno in ENDS:
            self.failure = error.errno  # type: ignore[assignment]
        elif isinstance(error, BrokenPipeError):
            if not self.failure and self.fd >= 0:
                number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # some systems report it only here
                self.failure = number if number in ENDS else 0
            if self.failure and not self.ends & TOLD:
                return system_error(self.failure)
        return error

    def begin_anew(self) -> None:
        """Forget how the last connection ended: there is a new one, or one in progress."""
        self.failure = 0
        self.ends = 0

    def keep(self, accepted: tuple[Handle, Address]) -> None:
        """Keep an accepted connection that nobody took, for the next accept."""
        self.poller.kept.setdefault(self, []).append(accepted)
        self.reading.ready = True

    def close(self) -> None:
        left: list[Handle] = []
        try:
            left = self.leave()
            closing.close_all(left)
        except BaseException:  # a signal handler raised
            closing.close_all(left or self.leave())
            raise

    def detach(self) -> socket.socket:
        left = self.leave()
        if not left:
            raise Closed()
        closing.close_all(left[1:])
        return self.sock

    def leave(self) -> list[Handle]:
        """Close all but the descriptor. Return the handles whose descriptors remain open, or [] if it was closed."""
        if self.fd < 0:
            return []
        self.reading.close()
        self.writing.close()
        self.poller.forget(self)
        left = [self]
        for handle, _ in self.poller.kept.pop(self, ()):
            left += handle.leave()
        self.reading.handle = self.writing.handle = cast(Handle, Gone(self.poller))
        self.fd = -1  # last: if a signal handler raises before this, close() can be called again
        return left
