"""Operations on non-blocking sockets. Each is awaited once. A request needs two of them, so they must be cheap to make.

`Once` holds a generator that exists already. The operations here make their generator when they are awaited, or need
none. They have no __init__(), which would cost a frame: the functions that make them set their slots.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any, Protocol

from ..once import Lazy, awaited_already, text_of
from ..operation import FINISHED, IDLE, OFFERED
from .attempts import NOSIGNAL
from .interface import Attempting, Half

_ENDED: Any = object()

# The steps of an operation that has finished at once: a generator that has ended returns None.
_NO_STEPS: Generator[Any, None, None] = (nothing for nothing in list[Any]())
next(_NO_STEPS, None)


class _Side(Half, Protocol):
    """A direction, as an operation knows it. See Direction."""

    attempt: Callable[[Any, Any], Any] | None
    handle: Any
    state: int
    value: Any

    def operate(self, attempt: Callable[[Any, Any], Any], value: Any, owner: object) -> Any: ...
    def let_others_run(self, attempt: Callable[[Any, Any], Any]) -> Generator[Any, None, None]: ...
    def told(self, error: OSError) -> OSError: ...
    def abandon(self) -> None: ...
    def outcome(self) -> Any: ...
    def refusal(self) -> Exception: ...


class _Sender(Attempting, Protocol):
    """A handle, as a send knows it. See Handle."""

    @property
    def writing(self) -> Any: ...
    def send_rest(self, data: bytes, sent: int, owner: object) -> Generator[Any, None, None]: ...


class OneShot(Lazy):
    """An operation that makes an attempt, and repeats it after each event until it does not block.

    Direction.operate() makes it.
    """

    __slots__ = ("attempt", "owner", "value")

    attempt: Callable[[Any, Any], Any]
    owner: object  # kept alive as long as the operation
    pending: _Side | None
    value: Any  # the argument of the attempt; _ENDED at the end

    def __iter__(self) -> Generator[Any, None, Any]:
        # Few local variables: they are most of what an idle connection costs.
        side = self.pending
        if side is None:
            raise awaited_already(self.value is _ENDED)
        self.pending = None
        try:
            if side.state:
                raise side.refusal()
            if side.ready:
                if side.handle.poller.streak >= side.handle.poller.streak_max:
                    if not side.handle.poller.streak_max:  # it was made before share(), and does not hold the lock
                        return (yield from side.operate(self.attempt, self.value, self.owner))
                    yield from side.let_others_run(self.attempt)
                try:
                    value = self.attempt(side.handle, self.value)
                except BlockingIOError:
                    side.ready = False
                except OSError:
                    side.handle.poller.streak += 1  # a caller that tries again and again has not waited either
                    raise side.told(sys.exc_info()[1]) from None  # type: ignore[arg-type]
                else:
                    side.handle.poller.streak += 1
                    return value
            # No other OS thread has run since the state was IDLE: the interpreter switches only at calls and in loops.
            side.attempt = self.attempt
            side.value = self.value
            side.state = OFFERED
            try:
                yield side
            except BaseException:
                side.abandon()
                raise
            if side.state != FINISHED:
                return side.outcome()
            value = side.value
            side.waiter = side.value = None
            side.state = IDLE
            return value
        finally:
            self.value = _ENDED

    __await__ = __iter__

    @property
    def name(self) -> str:
        return self.attempt.__name__

    def close(self) -> None:
        """Drop the operation on purpose before its first step."""
        if self.pending is not None:
            self.pending = None
            self.value = _ENDED

    def __repr__(self) -> str:
        return text_of(self.name, self.pending is None, self.value is _ENDED)


class SendAll(Lazy):
    """A sendall() of a bytes object.

    Nearly always the kernel takes all bytes at once, and no generator is needed. Only the rest is sent in steps.
    """

    __slots__ = ("_steps", "data", "owner")

    data: bytes
    owner: object
    pending: _Sender | None
    name = "sendall"
    _steps: Generator[Any, None, None]

    def __iter__(self) -> Generator[Any, None, None]:
        handle = self.pending
        if handle is None:
            raise awaited_already(self._has_ended())
        self.pending = None
        sent = 0
        side = handle.writing
        poller = handle.poller
        if side.ready and not side.state and poller.streak < poller.streak_max:
            try:
                try:
                    sent = handle.sock.send(self.data, NOSIGNAL)
                except BlockingIOError:
                    side.ready = False
                except OSError as error:
                    poller.streak += 1
                    raise side.told(error) from None
                poller.streak += 1
                if sent == len(self.data):
                    return _NO_STEPS
            except BaseException as error:
                error.bytes_sent = sent  # type: ignore[attr-defined]
                raise
        self._steps = handle.send_rest(self.data, sent, self.owner)
        return self._steps

    __await__ = __iter__

    def close(self) -> None:
        """Drop the operation on purpose before its first step."""
        self.pending = None
        if not self._has_ended():
            self._steps.close()

    def _has_ended(self) -> bool:
        """Return whether it has ended. Only for an operation that is or was awaited."""
        steps = getattr(self, "_steps", None)
        return steps is None or steps.gi_frame is None

    def __repr__(self) -> str:
        return text_of(self.name, self.pending is None, self._has_ended())
