"""Handles and directions of every poller that reports readiness: attempt, park, attempt again.

An operation's first step attempts it. Would it block, the direction keeps the attempt, and every event makes the same
attempt again: so events that are stale, spurious, or meant for a predecessor with the same descriptor number change
nothing, and a wait that is given up has consumed nothing. Knows sockets; knows neither waiting nor time.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from .. import closing
from ..lengths import length, room
from ..operation import (
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
from .attempts import DRAINS, ENDED, ENDS, TOLD
from .gone import Gone
from .interface import READABLE, WRITABLE, Loop

if sys.platform == "win32":
    from . import winattempts as attempts
else:
    from . import attempts

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Direction(Unique):
    """One half of a handle: the record of the operation in it, made once and used by each in turn."""

    __slots__ = ("attempt", "handle", "ready", "state", "value", "waiter")

    bit = 0
    kind = ""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.state = IDLE
        self.ready = True  # False: known to block until the next event
        self.attempt: Callable[[Any, Any], Any] | None = None
        self.value: Any = None  # the attempt's argument, then its result, or with FAILED the error
        self.waiter: Any = None

    @property
    def error(self) -> BaseException | None:
        return self.value if self.state & FAILED else None

    def operate(self, attempt: Callable[[Any, Any], Any], value: Any, owner: object) -> Any:
        # Few locals: they are most of what an idle connection costs.
        if self.state:
            raise self.refusal()
        if self.handle.poller.streak >= STREAK_MAX:
            yield from self.let_others_run(attempt)
        if self.ready:
            try:
                value = attempt(self.handle, value)
            except BlockingIOError:
                self.ready = False
            except OSError:
                self.handle.poller.streak += 1  # who tries again and again has not waited either
                raise self.told(sys.exc_info()[1]) from None  # type: ignore[arg-type]
            else:
                self.handle.poller.streak += 1
                return value
        self.attempt = attempt
        self.value = value
        self.state = OFFERED
        try:
            yield self
        except BaseException:
            self.abandon()
            raise
        if self.state != FINISHED:
            return self.outcome()
        value = self.value
        self.waiter = self.value = None
        self.state = IDLE
        return value

    def answer(self, value: Any) -> Generator[Any, None, Any]:
        """Nothing was asked for: that needs no system call and no wait."""
        if self.state:
            raise self.refusal()
        if self.handle.poller.streak >= STREAK_MAX:
            yield from self.let_others_run(None)
        self.handle.poller.streak += 1
        return value

    def let_others_run(self, attempt: Callable[[Any, Any], Any] | None) -> Generator[Any, None, None]:
        """Yield once without having attempted anything. park() says: resume it when the others have had their turn."""
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
        """The end of an operation that failed, or whose handle was closed or forked before it was resumed."""
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
            del value  # which has this frame in its traceback

    def park(self, waiter: Any, /) -> bool:
        handle = self.handle
        handle.poller.streak = 0
        if self.state != OFFERED:
            return self._park_late()
        self.waiter = waiter
        if not handle.armed & self.bit:
            try:
                handle.poller.arm(handle, self.bit)
            except OSError as error:
                self.fail(error)
                return True
            handle.armed |= self.bit
        self.state = PARKED
        return False

    def _park_late(self) -> bool:
        if not self.state & (FINISHED | PASSING):
            if not self.state & OFFERED:
                raise RuntimeError(f"nothing to wait for: {self.describe()}")
            self.end(self.refusal())  # closed in between
        return True

    def cancel(self, error: BaseException, /) -> bool:
        if not self.state & (OFFERED | PARKED | PASSING):
            return False
        resumed_anyway = self.state & PASSING
        self.end(error)
        return not resumed_anyway

    @property
    def parked(self) -> bool:
        return self.state == PARKED

    def close(self) -> None:
        """From now on Closed; an operation in flight ends so, and the next poll() returns it."""
        parked = self.parked
        self.state |= CLOSED
        if parked:
            self.end(self.refusal())
            self.handle.poller.finish(self)

    def try_again(self) -> bool:
        """After an event: True when the operation parked here has finished."""
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
        """The attempt made here has failed, or the kernel says so."""
        self.end(self.told(error) if isinstance(error, OSError) else error)

    def told(self, error: OSError) -> OSError:
        """Return what the kernel's error amounts to, which may have been told to somebody else."""
        return self.handle.told(error) or error

    def abandon(self) -> None:
        """The operation was thrown into where it waited: it ends here, and an accepted connection is kept."""
        if self.state & FINISHED and self.attempt is attempts.accept and self.error is None:
            self.handle.keep(self.value)
        self.waiter = self.value = None
        self.state &= CLOSED | FORKED

    def refusal(self) -> Exception:
        """Why no operation can start here now."""
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
            self.handle.armed |= TOLD
        return error


class Handle(Unique):
    """A socket and its two directions."""

    __slots__ = ("armed", "failure", "fd", "identity", "poller", "reading", "sock", "writing")

    directions: tuple[type[Reading], type[Writing]] = (Reading, Writing)

    def __init__(self, poller: Loop, sock: socket.socket, drains: bool) -> None:
        self.poller = poller
        self.sock = sock
        self.fd = sock.fileno()
        self.identity = closing.identity(sock)
        reading, writing = self.directions
        self.reading = reading(self)
        self.writing = writing(self)
        self.armed = DRAINS if drains else 0  # the bits that the back end watches, DRAINS, ENDED and TOLD
        self.failure = 0  # the errno of what has ended the connection, once the kernel has told

    def fileno(self) -> int:
        return self.fd

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        if (type(n) is not int or not 0 < n <= sys.maxsize) and length(n) == 0:
            return Once(self.reading.answer(b""))
        return Once(self.reading.operate(attempts.recv, n, owner))

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        n = room(buffer, n)
        if not n:
            return Once(self.reading.answer(0))
        return Once(self.reading.operate(attempts.recv_into, (buffer, n), owner))

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        length(n)
        return Once(self.reading.operate(attempts.recvfrom, n, owner))

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        return Once(self.reading.operate(attempts.recvfrom_into, (buffer, room(buffer, n)), owner))

    def accept(self, owner: object = None, /) -> Operation[tuple[Handle, Address]]:
        return Once(self.reading.operate(attempts.accept, None, owner))

    def wait_readable(self, owner: object = None, /) -> Operation[None]:
        return Once(self.reading.operate(attempts.wait_readable, None, owner))

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        return Once(self.writing.operate(attempts.send, data, owner))

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        return Once(self._sendall(data, owner))

    def _sendall(self, data: ReadableBuffer, owner: object) -> Generator[Any, None, None]:
        sent = 0
        side = self.writing
        try:
            if side.ready and not side.state and type(data) is bytes and self.poller.streak < STREAK_MAX:
                # Nearly always the kernel takes it all, and there is nothing to wait for.
                try:
                    sent = self.sock.send(data, attempts.NOSIGNAL)
                except BlockingIOError:
                    side.ready = False
                except OSError as error:
                    self.poller.streak += 1
                    raise side.told(error) from None
                self.poller.streak += 1
                if sent == len(data):
                    return
            with memoryview(data) as view, view.cast("B") as octets:
                while True:
                    with octets[sent:] as rest:  # an error has this frame: no view of the data may live on in it
                        sent += yield from side.operate(attempts.send, rest, owner)
                    if sent == len(octets):
                        return
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        return Once(self.writing.operate(attempts.sendto, (data, address), owner))

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        return Once(self.writing.operate(attempts.sendfile, (fd, offset, count), owner))

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        self.writing.ready = True  # what an earlier attempt saw says nothing about this one
        return Once(self.writing.operate(attempts.connect, [address, False, False], owner))

    def wait_writable(self, owner: object = None, /) -> Operation[None]:
        return Once(self.writing.operate(attempts.wait_writable, None, owner))

    def told(self, error: OSError | None = None, /) -> OSError | None:
        if self.sock.type != socket.SOCK_STREAM:
            return error
        if error is None:
            if self.failure and not self.armed & ENDED:
                return system_error(self.failure)
            self.armed |= ENDED
        elif error.errno in ENDS:
            self.failure = error.errno  # type: ignore[assignment]
        elif isinstance(error, BrokenPipeError):
            if not self.failure and self.fd >= 0:
                number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # some systems have not told yet
                self.failure = number if number in ENDS else 0
            if self.failure and not self.armed & TOLD:
                return system_error(self.failure)
        return error

    def begin_anew(self) -> None:
        """There is another connection, or one under way: what ended an earlier attempt is no matter of its."""
        self.failure = 0
        self.armed &= ~(ENDED | TOLD)

    def keep(self, accepted: tuple[Handle, Address]) -> None:
        """Put a connection that nobody took back, for the next accept."""
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
        """Be closed, but for the descriptor: return whose descriptors are to be closed, this first; [] if it was."""
        if self.fd < 0:
            return []
        self.reading.close()
        self.writing.close()
        self.poller.forget(self)
        left = [self]
        for handle, _ in self.poller.kept.pop(self, ()):
            left += handle.leave()
        self.reading.handle = self.writing.handle = cast(Handle, Gone(self.poller))
        self.fd = -1  # at last: until then a close() in which a signal handler raised can be made again
        return left
