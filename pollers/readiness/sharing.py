"""What changes in a poller that reports readiness if several OS threads use it: the lock.

Every step of an operation, and every other change to a handle, runs under the lock. Attempts never block, so the lock
is never held for long. The wait for events runs without it. So no socket is closed during an attempt, and no descriptor
number gets a new owner. If an event comes between an attempt and its park(), park() finds it.
share() changes the classes of the poller and its handles to the ones here. A poller that is not shared needs no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ..lock import lock
from ..operation import OFFERED, PARKED, STREAK_MAX, Operation
from .engine import Engine
from .handle import Direction, Handle

if TYPE_CHECKING:
    import socket

    from _typeshed import ReadableBuffer

    from ..operation import Address


T = TypeVar("T")

_is_held: Callable[[], bool] = lock._is_owned  # type: ignore[attr-defined]


class _Locked:
    """Runs each step of an operation under the lock, and also its start, which may be the whole operation."""

    __slots__ = ("op",)

    op: Operation[Any]  # it refuses a second await itself

    def __iter__(self) -> Generator[Any, Any, Any]:
        steps: Any = None
        try:
            with lock:
                try:
                    steps = iter(self.op)
                    direction = next(steps)
                except StopIteration as stop:
                    return stop.value
            while True:
                step, argument = steps.send, None
                try:
                    yield direction
                except BaseException as error:
                    step, argument = steps.throw, error
                with lock:
                    try:
                        direction = step(argument)
                    except StopIteration as stop:
                        return stop.value
                    finally:
                        del argument  # the traceback of an error refers to this frame
        except BaseException:
            if steps is not None:
                with lock:
                    steps.close()  # the operation is still in progress if a signal handler has raised in this frame
            raise

    __await__ = __iter__

    def close(self) -> None:
        """Drop the operation on purpose before its first step."""
        self.op.close()

    def __repr__(self) -> str:
        return repr(self.op)


def _locked(op: Operation[T]) -> Operation[T]:
    locked = _Locked()
    locked.op = op
    return locked


class _SharedDirection(Direction):
    __slots__ = ()

    def operate(self, attempt: Any, value: Any, owner: object) -> Operation[Any]:
        return _locked(super().operate(attempt, value, owner))

    def park(self, waiter: Any, /) -> bool:
        with lock:
            if self.state == OFFERED and self.ready:  # an event has come since the attempt
                self.state = PARKED
                try:
                    if self.try_again():
                        return True
                finally:
                    if self.state == PARKED:  # even if a signal handler has raised
                        self.state = OFFERED
            return super().park(waiter)

    def cancel(self, error: BaseException, /) -> bool:
        with lock:
            return super().cancel(error)


class _SharedHandle(Handle):
    """A handle that several OS threads use."""

    __slots__ = ()

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        return _locked(super().recv(n, owner))

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        return _locked(super().sendall(data, owner))

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        with lock:
            return super().connect(address, owner)

    def leave(self) -> list[Handle]:
        with lock:
            return super().leave()


class _Count(threading.local):
    value = 0


class SharedEngine(Engine):
    """A mixin for back ends. One OS thread at a time calls poll(); any may call the other methods."""

    _streak: _Count

    @property
    def streak(self) -> int:
        return self._streak.value

    @streak.setter
    def streak(self, value: int) -> None:
        self._streak.value = value

    @property
    def streak_max(self) -> int:  # type: ignore[override]
        """The maximum, or 0 if this OS thread does not hold the lock: an operation that was made before share() then
        attempts nothing without the lock."""
        return STREAK_MAX if _is_held() else 0

    @classmethod
    def begin_sharing(cls, engine: Any) -> None:
        """Change `engine` and its handles to the shared classes."""
        reading, writing = cls.handle_class.directions
        for handle in engine._handles.values():
            handle.__class__ = cls.handle_class
            handle.reading.__class__ = reading
            handle.writing.__class__ = writing
        engine._streak = _Count()  # each OS thread runs one waiter at a time
        engine.__class__ = cls  # at last: if a signal handler raises before, share() can be called again

    def arm(self, handle: Handle, bit: int) -> None:
        super().arm(handle, bit)
        if self.misses_what_is_armed_meanwhile:
            self.wakeup()

    def admit(self, sock: socket.socket, drains: bool) -> Handle:
        handle = None
        try:
            with lock:
                handle = super().admit(sock, drains)
        except BaseException:
            if handle is not None:  # a signal handler raised, so nobody else could close it
                handle.leave()
            raise
        return handle

    def wakeup(self) -> None:
        with lock:
            super().wakeup()

    def shutdown(self) -> list[Any]:
        self.close_handles()
        with lock:
            return super().shutdown()

    def _dispatch(self, events: Iterable[tuple[int, int]]) -> None:
        with lock:  # no longer: a signal handler may raise at its release, before anything has been taken
            super()._dispatch(events)


class ShareableEngine(Engine):
    """The base class of a back end: an engine that one OS thread uses until share() is called."""

    def share(self) -> None:
        self._check()
        if not isinstance(self, SharedEngine):
            _shared_kind(type(self)).begin_sharing(self)


_kinds: dict[type[ShareableEngine], Any] = {}


def _shared_kind(kind: type[ShareableEngine]) -> Any:
    """Return the class to which share() changes an engine of the class `kind`."""
    if kind not in _kinds:
        directions = tuple(_mixed(_SharedDirection, side) for side in kind.handle_class.directions)
        handle_class = _mixed(_SharedHandle, kind.handle_class, directions=directions)
        _kinds[kind] = type(f"Shared{kind.__name__}", (SharedEngine, kind), {"handle_class": handle_class})
    return _kinds[kind]


def _mixed(mixin: type, kind: type, **attributes: Any) -> Any:
    return type(f"Shared{kind.__name__}", (mixin, kind), {"__slots__": ()} | attributes)
