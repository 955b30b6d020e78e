"""Event emitters: pyee's, with Node's names in addition, and with listeners that may be threads.

A listener is a plain function, called where the event happens, or a generator function or `async def`, run as a thread.
If a listener raises, socket2's crashhook reports the error. It goes no further: a mistake in one connection does not
affect another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from pyee.base import EventEmitter

import pollers
from pollers import operation

from ..threads.coroutines import awaiting, is_coroutine
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.scheduler import current_scheduler
from ..threads.wait import Wait

F = TypeVar("F", bound=Callable[..., Any])


class Emitter(pollers.Unique, EventEmitter):
    """An event emitter. `on`, `once`, `emit`, `listeners` and the rest are as in pyee. These are Node's spellings."""

    _put_off: tuple[Callable[[], Any], ...] = ()

    def addListener(self, event: str, listener: F) -> F:
        """Add a listener as on() does; return it."""
        self.add_listener(event, listener)
        return listener

    def once(self, event: str, listener: F | None = None) -> Any:
        """Add a listener for one event: it is removed before it is called."""
        if listener is None:
            return functools.partial(self.once, event)

        self._add_event_handler(event, listener, _Once(self, event, listener))
        return listener

    def prependListener(self, event: str, listener: F) -> F:
        """Add a listener as on() does, before the existing ones."""
        self.on(event, listener)
        return self._to_the_front(event, listener)

    def prependOnceListener(self, event: str, listener: F) -> F:
        """Add a listener as once() does, before the existing ones."""
        self.once(event, listener)
        return self._to_the_front(event, listener)

    def _to_the_front(self, event: str, listener: F) -> F:
        with self._lock:
            if listener in self._events.get(event, ()):
                self._events[event].move_to_end(listener, last=False)
        self._listeners_changed(event)
        return listener

    def removeListener(self, event: str, listener: Callable[..., Any]) -> None:
        """Remove a listener. Does nothing if it is not there."""
        self._take_off(event, listener)

    off = removeListener

    def remove_listener(self, event: str, listener: Callable[..., Any]) -> None:
        """Remove a listener. Raises KeyError if it is not there."""
        if not self._take_off(event, listener):
            raise KeyError(listener)

    def _take_off(self, event: str, listener: Callable[..., Any], kept: Callable[..., Any] | None = None) -> bool:
        """Remove a listener; return False if it is not there, or not stored as `kept`. Reports it outside the lock."""
        with self._lock:
            found: dict[Any, Any] = self._events.get(event) or {}
            if listener not in found or (kept is not None and found[listener] is not kept):
                return False
            self._remove_listener(event, listener)
        self._listeners_changed(event)
        return True

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the listeners of an event."""
        with self._lock:
            return list(self._events.get(event, ()))

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Remove the listeners of an event, or of all events."""
        names = [event] if event is not None else list(self._events)
        super().remove_all_listeners(event)
        for name in names:
            self._listeners_changed(name)

    removeAllListeners = remove_all_listeners

    def eventNames(self) -> list[str]:
        """Return the names of the events that have listeners."""
        with self._lock:
            return [*filter(self._events.get, self._events)]

    def listenerCount(self, event: str) -> int:
        """Return how many listeners an event has."""
        return len(self._events.get(event, ()))

    @operation
    def wait(self, event: str) -> Generator[Any, None, Any]:
        """Wait for the next `event`; return its values: None, one value, or a tuple.

        If an 'error' comes first, it is raised. A cancellation or timeout ends the wait. (Node's events.once)
        """
        waiter = _Waiter(self, event)
        try:
            return (yield from waiter.wait.wait())
        finally:
            waiter.leave()

    # For subclasses.

    def _fire(self, event: str, *args: Any) -> None:
        """Emit one of our own events. If a listener raises, the others are still called.

        An 'error' without a listener is reported.
        """
        with self._lock:
            listeners = list(self._events.get(event, {}).values())
        failures = [args[0]] if event == "error" and not listeners else []
        for listener in listeners:
            try:
                self._emit_run(listener, args, {})
            except Exception as error:
                failures.append(error)
        for failure in failures:
            self._listener_failed(event, args, failure)

    def _soon(self, event: str, *args: Any) -> None:
        """Emit an event within the call that causes it; with several OS threads, when no other listener runs."""
        if current_scheduler().crew is None:
            self._fire(event, *args)
        else:
            self._later(self._fire, event, *args)

    def _call(self, name: str, callback: Callable[..., Any], *args: Any) -> None:
        """Call a callback as a listener is called."""
        try:
            self._emit_run(callback, args, {})
        except Exception as error:
            self._listener_failed(name, args, error)

    def _later(self, call: Callable[..., Any], *args: Any) -> None:
        """Let the loop make a call in a later turn, after the calls that were deferred before."""
        scheduler = current_scheduler()
        put_off = functools.partial(call, *args)
        if scheduler.crew is None:
            scheduler.post(put_off)
            return
        # Several OS threads make posted calls. One of them at a time makes the calls of an emitter, in order.
        with lock:
            is_first = not self._put_off
            self._put_off = (*self._put_off, put_off)
        if is_first:
            scheduler.post(self._catch_up)

    def _hold_back(self) -> None:
        """Make calls that are deferred by other OS threads wait for _catch_up(). For an emitter that is new."""
        self._put_off = (_nothing,)

    @operation
    def _in_turn(self, call: Callable[..., Any], *args: Any) -> Generator[Any, None, None]:
        """Make a call that may emit, while no other listener runs, and wait until it has been made."""
        if current_scheduler().crew is None:
            call(*args)
            return
        wait = Wait(f"turn of {self!r}")

        def make() -> None:
            try:
                call(*args)
            finally:
                wait.finish()

        self._later(make)
        yield from wait.wait()

    def _catch_up(self) -> None:
        try:
            self._put_off[0]()
        finally:
            with lock:
                left = self._put_off = self._put_off[1:]
            if left:
                current_scheduler().post(self._catch_up)

    def _emit_run(self, listener: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        made = listener(*args, **kwargs)
        if made is not None:
            self._carry_on(listener, made, args)

    def _carry_on(self, listener: Callable[..., Any], made: Any, args: tuple[Any, ...]) -> None:
        """Start a thread if the listener returned a generator or coroutine."""
        if is_coroutine(made):
            name = getattr(listener, "__qualname__", "listener")
            newthread(self._guarded(name, made, args), name=name)

    @operation
    def _guarded(self, name: str, made: Any, args: tuple[Any, ...]) -> Generator[Any, None, None]:
        try:
            yield from awaiting(made)
        except Exception as error:
            self._listener_failed(name, args, error)

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report an error that a listener or callback raised."""
        newthread(_raise, error, name=f"listener of {event!r}")

    def _was_reported(self, error: BaseException) -> bool:
        """Whether the error is a listener's own: it does not concern threads that wait. To be overridden."""
        return False

    def _listeners_changed(self, event: str) -> None:
        """Note that a listener of `event` was added or removed. To be overridden."""

    def _add_event_handler(self, event: str, k: Callable[..., Any], v: Callable[..., Any]) -> None:
        if not callable(k):
            raise TypeError(f"a listener must be a function, not {k!r}")
        super()._add_event_handler(event, k, v)
        self._listeners_changed(event)


class _Once:
    """A listener that removes itself. A class, because a function that knows itself would be a reference cycle."""

    __slots__ = ("_emitter", "_event", "_listener")

    def __init__(self, emitter: Emitter, event: str, listener: Callable[..., Any]) -> None:
        self._emitter = emitter
        self._event = event
        self._listener = listener

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self._emitter._take_off(self._event, self._listener, self):
            return self._listener(*args, **named)
        return None


class _Waiter:
    """A thread that waits for an event. A class, because nested functions would form a reference cycle."""

    __slots__ = ("emitter", "event", "wait")

    def __init__(self, emitter: Emitter, event: str) -> None:
        self.emitter = emitter
        self.event = event
        self.wait = Wait(f"event {event!r}")
        emitter.on(event, self.happened)
        if event != "error":
            emitter.on("error", self.failed)

    def happened(self, *args: Any) -> None:
        self.leave()
        self.wait.finish(args if len(args) > 1 else args[0] if args else None)

    def failed(self, error: BaseException) -> None:
        if not self.emitter._was_reported(error):
            self.leave()
            self.wait.fail(error)

    def leave(self) -> None:
        self.emitter.removeListener(self.event, self.happened)
        self.emitter.removeListener("error", self.failed)


def _nothing() -> None:
    """Stand for what holds the others back."""


def _raise(error: Exception) -> None:
    """End a thread with an error that nobody joins: this reports the error."""
    try:
        raise error
    finally:
        del error
