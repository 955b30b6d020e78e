"""What the two sides of a socket share: the kernel's socket, the idle timer, and the one end of it all.

Knows when events come, and that none comes after 'close'. Knows neither how to read nor how to write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Any, Self

from pollers import Closed, Handle

from ..locking import lock
from ..scheduler import current_scheduler
from ..tcp import TCP
from ..timers import Timer
from .emitter import Emitter
from .failures import RangeError


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
        self._had_error = False
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
            raise TypeError(f"a timeout is a number of milliseconds, not {timeout!r}")
        if not 0 <= timeout < math.inf:
            raise RangeError(f"a timeout is not negative, and finite, not {timeout!r}")
        if callback is not None and not callable(callback):
            raise TypeError(f"a callback is a function, not {callback!r}")
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
            if self._idle is None:
                self._idle = Timer(self._scheduler.timers, self._timed_out)
            self._active()
        elif self._idle is not None:
            self._idle.disarm()
        return self

    def _active(self) -> None:
        """Something has happened: the idle time starts anew. To be called only with a timeout set."""
        if self._idle is not None and not self.destroyed:
            self._idle.arm(monotonic() + self._idle_s)

    def _timed_out(self) -> None:
        self._fire("timeout")

    # The end.

    def destroy(self, error: BaseException | None = None) -> Self:
        """Close the connection at once, with what has not been sent yet.

        Callbacks of pending writes get an error; then come 'error', if there is one, and 'close'. 'end' does not come.
        The second time nothing happens.
        """
        with lock:
            if self.destroyed:
                return self
            self.destroyed = True
            tcp, self._tcp, self._handle = self._tcp, None, None
        self.connecting = False
        if self._idle is not None:
            self._idle.disarm()
        if tcp is not None:
            tcp.close()
        self._leave(error)
        had_error = self._had_error or error is not None
        self._later(self._emit_close, error, had_error)
        self._gone()
        return self

    def _gone(self) -> None:
        """The last thing that destroy() does. To be overridden."""

    def _leave(self, error: BaseException | None) -> None:
        """The connection is gone: end what waits for it. Overridden by each side, which calls the next."""

    def _emit_close(self, error: BaseException | None, had_error: bool) -> None:
        if error is not None and (self.listenerCount("error") or not self._raised):
            self._fire("error", error)
        self._fire("close", had_error)

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report it, and end the connection: nobody knows in what state the listener has left it."""
        if self.destroyed and isinstance(error, Closed):
            return  # a thread that was receiving when we destroyed it
        super()._listener_failed(event, args, error)
        self._had_error = True
        self.destroy()
