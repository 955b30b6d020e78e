"""The loop of every poller that reports readiness: wait for edges, try parked operations again, return their waiters.

A back end arms, disowns and waits, and knows nothing else. It reports edges as (descriptor, bits). The engine has a
table from descriptors to handles, which all OS threads that share the engine use. Wake-ups and signals arrive through
a socket pair, since signal.set_wakeup_fd() writes single bytes, which an eventfd refuses.
"""

from __future__ import annotations

import io
import os
import socket
import weakref
from collections.abc import Iterable
from socket import socket as Sock
from time import monotonic
from typing import Any

from .. import closing, unbound
from ..file import file
from ..foreign import Foreign
from ..operation import FINISHED, FORKED, PARKED, STREAK_MAX, Address, Closed, Stats, end_of_stream
from ..pairs import socketpair
from ..probe import ready
from ..unique import Unique
from .attempts import kernel_sendfile
from .attempts import recv as posix_recv
from .handle import Direction, Handle
from .interface import HUNG_UP, READABLE, WRITABLE

# All events of a handle.
_ALL = READABLE | WRITABLE | HUNG_UP


# A back end never waits longer than this: some systems refuse longer timeouts, and poll() may return early.
WAIT_MAX_S = 86400.0


class _Waker(socket.socket):
    """One end of the pair that wakes a poller. An OS thread and its poller may just end, without a ResourceWarning."""

    @classmethod
    def of(cls, sock: socket.socket) -> _Waker:
        waker = cls(fileno=sock.detach())
        waker.setblocking(False)
        return waker

    def __del__(self) -> None:
        self.close()


class Engine(Unique):
    """A poller over a back end: subclasses say how to arm, to disown and to wait."""

    name = ""
    handle_class: type[Handle] = Handle
    watchable = False  # whether another loop can wait for the descriptor
    misses_what_is_armed_meanwhile = False  # True: the back end ignores descriptors that are armed while it waits

    # The kernel's clock and sockets.
    now = staticmethod(monotonic)
    socket = staticmethod(Sock)
    socketpair = staticmethod(socketpair)
    adopt = staticmethod(unbound.adopt)
    ready = staticmethod(ready)
    file = staticmethod(file)
    foreign = staticmethod(Foreign)
    sendfile = staticmethod(kernel_sendfile)

    def __init__(self) -> None:
        self.streak = 0
        self.streak_max = STREAK_MAX
        self.kept: dict[Handle, list[tuple[Handle, Address]]] = {}  # accepted connections that nobody took
        self._handles: dict[int, Handle] = {}
        self._finished: list[Any] = []  # the waiters that the next poll() returns
        self._unread: list[tuple[int, int]] = []
        self._waiting = False
        self._watched = False  # another loop waits for the descriptor
        self._woken = False
        self._shut = False
        self._forked = False
        self._pid = os.getpid()
        self._polls = self._events = self._wakeups = 0
        self._wake_receiver, self._wake_sender = self.make_waker()
        _engines.add(self)

    # The methods of a back end.

    def arm(self, handle: Handle, bit: int) -> None:
        """Report `bit` of this handle from now on, at once if it is true already. An OSError ends the operation."""
        raise NotImplementedError

    def disown(self, fd: int) -> None:
        """Stop reporting `fd`, which was armed and is still open."""
        raise NotImplementedError

    def wait(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        """Return edges as (descriptor, bits), up to `limit`. [] after `timeout_s` seconds or earlier."""
        raise NotImplementedError

    def make_waker(self) -> tuple[Any, Any]:
        """Return two connected sockets: what is sent to the second makes the first readable, which ends a wait."""
        one, other = map(_Waker.of, socket.socketpair())
        return one, other

    def rouse(self) -> None:
        """Make wait() return. Any OS thread or signal handler may call this."""
        self._wake_sender.send(b"\0")

    def fileno(self) -> int:
        raise OSError(f"the {self.name} poller has no descriptor")

    def release(self) -> None:
        """Free the kernel's object."""

    # The interface of a poller.

    def attach(self, sock: Sock, /) -> Handle:
        inet = sock.family in (socket.AF_INET, socket.AF_INET6)
        return self.admit(sock, inet and sock.type == socket.SOCK_STREAM and sock.proto in (0, socket.IPPROTO_TCP))

    def admit(self, sock: Sock, drains: bool) -> Handle:
        """Attach `sock` and return its handle. `drains`: a short receive means that it is empty (only for TCP)."""
        self._check()
        if sock.fileno() < 0:
            raise Closed()
        stale = self._handles.get(sock.fileno())
        if stale is not None:
            if stale.sock is sock:
                raise ValueError(f"fd {sock.fileno()} is attached already")
            # Somebody else has closed the old handle's descriptor, or taken it over. It belongs to this socket now.
            stale.sock.detach()  # first, so that the old socket cannot close it even if a signal handler raises
            closing.close_all(stale.leave()[1:])
        sock.setblocking(False)
        handle = self.handle_class(self, sock, drains)
        self._handles[handle.fd] = handle
        return handle

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        if self._shut or self._forked:
            self._check()
        self._polls += 1
        return self._digest(self._unread or self._await(timeout_s, limit))

    def _await(self, timeout_s: float | None, limit: int) -> list[tuple[int, int]]:
        # Set this flag before the others are read: an OS thread that wakes us later then sees it and writes.
        self._waiting = True
        if self._woken or self._finished:
            timeout_s = 0
        elif timeout_s is None or timeout_s > WAIT_MAX_S:
            timeout_s = WAIT_MAX_S
        try:
            events = self._unread = self.wait(timeout_s, limit)
            return events
        except BaseException:
            # A signal handler raised, and events may be lost, which the kernel reports only once. Try every handle.
            self._unread = [(fd, _ALL) for fd in (self._wake_receiver.fileno(), *self._handles)]
            raise
        finally:
            self._waiting = self._watched = self._woken = False

    def _digest(self, events: list[tuple[int, int]]) -> list[Any]:
        """Try the operations of these events again. Return the waiters of all finished operations."""
        self._events += len(events)
        self._dispatch(events)
        self._unread = []  # not earlier: a signal handler may raise, an edge comes once, and a second try is harmless
        return self._take_finished()

    def _take_finished(self) -> list[Any]:
        finished = self._finished
        self._finished = []
        return finished

    def _dispatch(self, events: Iterable[tuple[int, int]]) -> None:
        handles = self._handles
        finished = self._finished
        for fd, bits in events:
            try:
                handle = handles[fd]
            except KeyError:
                if fd == self._wake_receiver.fileno():
                    self._drain_wakeups()
                continue
            if bits != READABLE:
                if bits & ~(READABLE | WRITABLE):
                    handle.drains = False  # the end may be queued behind the data, and no second edge follows
                if handle.writing.try_again():
                    finished.append(handle.writing.waiter)
                if bits == WRITABLE:
                    continue
            # This is try_again() for reading, without the call: every request passes through here.
            side = handle.reading
            if side.state != PARKED:
                side.ready = True
                continue
            try:
                # This is posix_recv(), without the call. `ready` is False while an operation waits.
                if side.attempt is posix_recv:
                    value = handle.sock.recv(side.value)
                    if not value:
                        side.ready = True
                        end_of_stream(handle)
                    elif len(value) == side.value or not handle.drains:
                        side.ready = True
                else:
                    side.ready = True
                    value = side.attempt(handle, side.value)  # type: ignore[misc]
            except BlockingIOError:
                side.ready = False
            except Exception as error:
                side.ready = True
                side.fail(error)
                finished.append(side.waiter)
            else:
                side.value = value
                side.state = FINISHED
                finished.append(side.waiter)

    def wakeup(self) -> None:
        if self._shut or self._forked:
            self._check()
        if not self._woken:
            self._woken = True
            if self._waiting or self._watched:
                self._wakeups += 1
                try:
                    self.rouse()
                except OSError:
                    pass  # it is full of unread wake-ups, or another OS thread has just shut it down
                except BaseException:
                    self._woken = False  # a signal handler raised, perhaps before
                    raise

    def wakeup_fileno(self) -> int:
        number: int = self._wake_sender.fileno()
        return number

    def watch(self) -> bool:
        self._check()
        if not self.watchable:
            raise io.UnsupportedOperation(f"another event loop cannot wait for the {self.name} poller")
        self._watched = True  # first: see _await()
        return not (self._woken or self._finished or self._unread)

    def finish(self, direction: Direction) -> None:
        """Make the next poll() return the waiter of `direction`, as if an event had finished the operation."""
        if direction.waiter not in self._finished:
            self._finished.append(direction.waiter)
        self.wakeup()

    def not_finished(self, direction: Direction) -> bool:
        """Keep poll() from returning the waiter of `direction`. Returns False if poll() has returned it already."""
        try:
            self._finished.remove(direction.waiter)  # in one call, since another OS thread may take the list
        except ValueError:
            return False
        return True

    def is_to_return(self, direction: Direction) -> bool:
        """Return whether the next poll() will return the waiter of `direction`."""
        return direction.waiter in self._finished

    def forget(self, handle: Handle) -> None:
        """Stop reporting a handle that is about to be closed. In a forked child its registration is the parent's."""
        if self._handles.get(handle.fd) is handle:
            del self._handles[handle.fd]
            if handle.armed and not self._forked:
                self.disown(handle.fd)

    def stats(self) -> Stats:
        sides = [side for handle in list(self._handles.values()) for side in (handle.reading, handle.writing)]
        parked = sum(side.state == PARKED for side in sides)
        return Stats(len(self._handles), parked, self._polls, self._events, self._wakeups)

    def shutdown(self) -> list[Any]:
        if not self._shut:
            self.close_handles()
            self._shut = True
            self._wake_receiver.close()
            self._wake_sender.close()
            self.release()
        return self._take_finished()

    def close_handles(self) -> None:
        for handle in list(self._handles.values()):
            handle.close()

    def forked_message(self) -> str:
        return (
            f"this {self.name} poller was made in process {self._pid}; after a fork, use it there, "
            "or make a new poller and new sockets here"
        )

    def after_fork_in_child(self) -> None:
        self._forked = True
        for handle in self._handles.values():
            handle.reading.state |= FORKED
            handle.writing.state |= FORKED

    def _check(self) -> None:
        if self._forked:
            raise RuntimeError(self.forked_message())
        if self._shut:
            raise RuntimeError(f"this {self.name} poller has been shut down")

    def _drain_wakeups(self) -> None:
        try:
            while len(self._wake_receiver.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def __repr__(self) -> str:
        return f"<{self.name} poller, {len(self._handles)} handles>"


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
