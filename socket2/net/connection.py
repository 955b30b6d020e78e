"""What both sides of a socket share: the kernel's socket, the idle timer, and the end of the connection.

This module knows when events come, and that none comes after 'close'. It does not know how to read or write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, Self

from pollers import Closed, Operation

from ..sockets.tcp import TCP
from ..threads.lock import lock
from ..threads.scheduler import current_scheduler
from ..threads.timers import Timer
from .emitter import Emitter
from .failures import RangeError, described, told


class Way(Protocol):
    """How data comes and goes: the handle of the kernel's socket, or a layer over it that behaves like one."""

    def recv(self, n: int, owner: object, /) -> Operation[bytes]: ...
    def recv_into(self, buffer: Any, n: int, owner: object, /) -> Operation[int]: ...
    def send(self, data: Any, owner: object, /) -> Operation[int]: ...
    def told(self, error: OSError, /) -> OSError | None: ...


class Connection(Emitter):
    """An emitter with a connection: before, during and after it."""

    def __init__(self) -> None:
        super().__init__()
        self._scheduler = current_scheduler()
        self._tcp: TCP | None = None
        self._handle: Way | None = None  # while data can come and go
        self._idle: Timer | None = None
        self._idle_s = 0.0  # 0: no timeout
        self._over = False  # both sides have ended: the kernel's socket is closed, even if data is still unread here
        self._failure: Exception | None = None  # a listener's error
        self._complained = False  # 'error' was emitted, and the connection continued
        self._closed = False  # 'close' is being emitted, or was
        self._raised = False  # the error was raised in a thread that waited
        self.timeout: float | None = None
        """The idle timeout in milliseconds, as given to setTimeout(); None before."""
        self.destroyed = False
        """Whether the connection was given up. Only 'error' and 'close' come after that."""
        self.connecting = False
        """Whether connect() was called and has not finished."""

    # The idle timer.

    def setTimeout(self, timeout: float, callback: Callable[..., Any] | None = None) -> Self:
        """Emit 'timeout' after `timeout` milliseconds without a receive or send. 0: no timeout.

        The connection continues: end it in the listener if you want to. The event comes once for each idle period.
        `callback` is added as a once() listener; with a timeout of 0 it is removed. Raises TypeError if `timeout` is
        not a number, RangeError if it is negative or infinite.
        """
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            wrong = TypeError(f"timeout must be a number of milliseconds, not {timeout!r}")
            raise told(wrong, code="ERR_INVALID_ARG_TYPE")
        if not 0 <= timeout < math.inf:
            raise told(RangeError(f"timeout must be finite and not negative: {timeout!r}"), code="ERR_OUT_OF_RANGE")
        if callback is not None and not callable(callback):
            raise told(TypeError(f"callback must be a function, not {callback!r}"), code="ERR_INVALID_ARG_TYPE")
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
        """Restart the idle period, because something happened. Call only if a timeout is set."""
        if self.destroyed:
            return
        with lock:
            idle = self._idle
            if idle is None:
                idle = self._idle = Timer(self._scheduler.timers, self._timed_out)
            self._scheduler.timers.aside += idle.due is None
            idle.arm(self._scheduler.now() + self._idle_s)

    def _be_idle(self) -> None:
        """Stop the idle timer."""
        with lock:
            if self._idle is not None and self._idle.due is not None:
                self._scheduler.timers.aside -= 1
                self._idle.disarm()
            self._idle = None  # it refers to this connection, which is to be freed

    def _timed_out(self) -> None:
        self._later(self._emit_timeout)
        self._scheduler.timers.aside -= 1  # last: it is rung once more where a signal handler raises

    def _emit_timeout(self) -> None:
        if self._idle_s and not self.destroyed:
            self._fire("timeout")

    # The end.

    def destroy(self, error: BaseException | None = None) -> Self:
        """Close the connection at once. Unsent data is lost.

        First comes 'error', if there is an error. Then the callbacks of pending writes get that error, or one that says
        what happened. Then comes 'close'. 'end' does not come. A second call does nothing.
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

    def _described(self, error: OSError, syscall: str) -> OSError:
        """Return the error of a receive or send in Node's form. To be overridden."""
        return described(error, syscall)

    def _gone(self) -> None:
        """The last step of destroy(). To be overridden."""

    def _leave(self, error: BaseException | None) -> None:
        """End everything that waits for the connection, which is gone. Each side overrides this and calls the next."""

    def _emit_close(self, error: BaseException | None) -> None:
        if error is not None and (self.listenerCount("error") or not self._raised):
            self._fire("error", error)
        elif self._failure is not None and self.listenerCount("error"):  # otherwise the report was enough
            self._fire("error", self._failure)
        self._call_back()
        self._fire("close", error is not None or self._failure is not None or self._complained)

    def _call_back(self) -> None:
        """Call the remaining callbacks, before 'close'. To be overridden."""

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report the error and end the connection: nobody knows in which state the listener left it."""
        if self.destroyed and isinstance(error, Closed):
            return  # a thread that was receiving when we destroyed it
        super()._listener_failed(event, args, error)
        if not self.destroyed:
            self._failure = error
            self.destroy()

    def _was_reported(self, error: BaseException) -> bool:
        return error is self._failure
