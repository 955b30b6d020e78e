"""What the two sides of a socket share: the kernel's socket, the idle timer, and the one end of it all.

Knows when events come, and that none comes after 'close'. Knows neither how to read nor how to write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

from pollers import Closed, Handle

from ..sockets.tcp import TCP
from ..threads.lock import lock
from ..threads.scheduler import current_scheduler
from ..threads.timers import Timer
from .emitter import Emitter
from .failures import RangeError, told


class Connection(Emitter):
    """An emitter with a connection, before, while and after there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._scheduler = current_scheduler()
        self._tcp: TCP | None = None
        self._handle: Handle | None = None  # while it is connected
        self._idle: Timer | None = None
        self._idle_s = 0.0  # 0: no timeout
        self._over = False  # both sides have ended: the kernel's socket is closed, whatever is still unread here
        self._failure: Exception | None = None  # of a listener
        self._complained = False  # 'error' has come, and the connection has gone on
        self._closed = False  # 'close' comes now, or has come
        self._raised = False  # the error, in a thread that waited for something
        self.timeout: float | None = None
        """The idle timeout in milliseconds, as setTimeout() was told; None before."""
        self.destroyed = False
        """Whether the connection has been given up. Nothing but 'error' and 'close' comes after that."""
        self.connecting = False
        """Whether connect() was called and has not finished."""

    # The idle timer.

    def setTimeout(self, timeout: float, callback: Callable[..., Any] | None = None) -> Self:
        """Emit 'timeout' after `timeout` milliseconds in which nothing was received or sent; 0: never again.

        The connection goes on: end it in the listener if that is wanted. Emitted once for each idle time. `callback` is
        a listener for one time; with 0 it is removed. TypeError for what is no number, RangeError below 0 and for
        infinity.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            wrong = TypeError(f"a timeout is a number of milliseconds, not {timeout!r}")
            raise told(wrong, code="ERR_INVALID_ARG_TYPE")
        if not 0 <= timeout < math.inf:
            raise told(RangeError(f"a timeout is not negative, and finite, not {timeout!r}"), code="ERR_OUT_OF_RANGE")
        if callback is not None and not callable(callback):
            raise told(TypeError(f"a callback is a function, not {callback!r}"), code="ERR_INVALID_ARG_TYPE")
        if self.destroyed:
            return self
        self.timeout = timeout
        self._idle_s = timeout / 1000
        if callback is not None:
            if timeout:
                self.once("timeout", callback)
            else:
                self.removeListener("timeout", callback)
        if timeout:
            self._active()
        else:
            self._be_idle()
        return self

    def _active(self) -> None:
        """Something has happened: the idle time starts anew. To be called only with a timeout set."""
        if self.destroyed:
            return
        with lock:
            idle = self._idle
            if idle is None:
                idle = self._idle = Timer(self._scheduler.timers, self._timed_out)
            self._scheduler.timers.aside += idle.due is None
            idle.arm(self._scheduler.now() + self._idle_s)

    def _be_idle(self) -> None:
        """Have no idle time any more."""
        with lock:
            if self._idle is not None and self._idle.due is not None:
                self._scheduler.timers.aside -= 1
                self._idle.disarm()
            self._idle = None  # it knows this connection, which is to be freed

    def _timed_out(self) -> None:
        self._scheduler.timers.aside -= 1
        self._later(self._emit_timeout)

    def _emit_timeout(self) -> None:
        if self._idle_s and not self.destroyed:
            self._fire("timeout")

    # The end.

    def destroy(self, error: BaseException | None = None) -> Self:
        """Close the connection at once, with what has not been sent yet.

        'error' comes, if there is one; then callbacks of pending writes get the error, or one that says what has
        happened; then comes 'close'. 'end' does not come. The second time nothing happens.
        """
        with lock:
            if self.destroyed:
                return self
            self.destroyed = True
            tcp, self._tcp, self._handle = self._tcp, None, None
        self._be_idle()
        if tcp is not None:
            tcp.close()
        self._leave(error)
        self.connecting = False
        self._later(self._emit_close, error)
        self._gone()
        return self

    def _gone(self) -> None:
        """The last thing that destroy() does. To be overridden."""

    def _leave(self, error: BaseException | None) -> None:
        """The connection is gone: end what waits for it. Overridden by each side, which calls the next."""

    def _emit_close(self, error: BaseException | None) -> None:
        if error is not None and (self.listenerCount("error") or not self._raised):
            self._fire("error", error)
        elif self._failure is not None and self.listenerCount("error"):  # else it was enough to report it
            self._fire("error", self._failure)
        self._call_back()
        self._fire("close", error is not None or self._failure is not None or self._complained)

    def _call_back(self) -> None:
        """Before 'close': tell whoever still waits to be told. To be overridden."""

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report it, and end the connection: nobody knows in what state the listener has left it."""
        if self.destroyed and isinstance(error, Closed):
            return  # a thread that was receiving when we destroyed it
        super()._listener_failed(event, args, error)
        if not self.destroyed:
            self._failure = error
            self.destroy()

    def _was_reported(self, error: BaseException) -> bool:
        return error is self._failure
