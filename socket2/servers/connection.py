"""The connections of a server: the thread of each, when it may be dropped, and which side caused its end.

A stop and the connection's own thread may change a connection at the same time, in two OS threads. So both change it
under the lock. Logging, closing and callbacks happen outside the lock.
"""

from __future__ import annotations

import errno
from contextvars import ContextVar
from logging import INFO
from types import TracebackType
from typing import Any, Protocol

from pollers import Cancelled, Closed, Poller

from ..sockets.address import format_address
from ..sockets.tcp import TCP
from ..streams.buffer import IncompleteRead, LimitExceeded
from ..threads.events import Event
from ..threads.journal import Journal
from ..threads.lock import lock
from ..threads.scheduler import current_scheduler
from ..threads.thread import Thread, currentthread, reportable
from ..threads.timers import Timer
from ..threads.wait import Join, Pass
from .proxyheader import ProxyHeader

log = Journal("socket2.server")

# Errors that say that a client cannot be reached any more, but are not ConnectionErrors.
_GONE = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}

# What an operation of a closed socket raises.
_CLOSED = Closed()

# How long to wait before looking again at a thread that was about to receive.
_AGAIN_S = 0.01
_FOR_EVER_S = 2.0**31


class _NoRequest(Cancelled):
    """Ends the wait for a request. Unlike a user's cancellation, it may be withdrawn."""


class ServerSide(Protocol):
    """What a connection knows of its server."""

    stopping: Event
    refused: int
    _first_request_s: float

    def about(self) -> dict[str, object]: ...

    def _ended(self, connection: Connection, /) -> None:
        """Note that the connection's socket is closed."""


class Connection(Join):
    """A connection and its thread. It learns of the thread's end as a joiner does."""

    __slots__ = (
        "begun",
        "conn",
        "cut",
        "fd",
        "header",
        "idle",
        "interruption",
        "met",
        "requests",
        "server",
        "thread",
        "timer",
    )

    def __init__(self, server: ServerSide, conn: TCP) -> None:
        super().__init__("connection")
        self.server = server
        self.conn = conn
        self.fd = conn.fileno()  # identifies its errors, even after it is closed
        self.begun = current_scheduler().now()
        self.header: ProxyHeader | None = None
        self.thread: Thread[object] | None = None  # None until the thread is made
        self.cut = False
        self.met = False  # whether it has reached its first between_requests
        self.requests = 0  # counted here, because a count of the server would need the lock each time
        self.idle: Thread[object] | None = None
        self.interruption: Cancelled | None = None
        self.timer: Timer | None = None

    def begin(self, thread: Thread[object]) -> None:
        self.thread = thread

    def finish(self, result: Any = None) -> bool:
        """Handle the end of the thread. Return True: nobody else needs to be told of its error."""
        thread = self.thread
        assert thread is not None
        error = thread.error
        try:
            try:
                clients = error is not None and self._is_no_fault(error, self.conn.closed)
            finally:
                self.conn.close()
            if error is not None:
                self._tell(thread, error, clients)
        finally:  # even if a signal handler has raised
            del error  # its traceback holds this frame
            self.server._ended(self)
        return True

    # Between two requests.

    # A server that stops calls leave() after it has set `stopping`. So these two need the lock only from then on.

    def wait_for_request(self, thread: Thread[object]) -> None:
        """Begin a wait: from here on, `thread` may leave when the server stops. For the other rooms of socket2."""
        self.idle = thread
        if self.server.stopping.is_set():
            thread.scheduler.post(self.leave)  # by then it waits, and has received what was there

    def request_has_come(self, thread: Thread[object], error: BaseException | None = None) -> None:
        """End the wait of `thread`: a request has come, or there was an `error`. For the other rooms of socket2."""
        self.idle = None
        self.met = True
        if error is None:
            self.requests += 1
        if self.server.stopping.is_set():
            self._stay(thread, error)

    def _stay(self, thread: Thread[object], error: BaseException | None) -> None:
        """Take back what leave() has done, because the wait is over."""
        with lock:
            if self.timer is not None:
                self.timer.disarm()
                self.timer = None
            if self.interruption is not None and error is not self.interruption:
                thread.scheduler.interruptions.forgive(thread, self.interruption)
            self.interruption = None

    def unmet(self, error: BaseException | None) -> None:
        """Take back what request_has_come() has noted: it was not a request."""
        with lock:
            self.met = False
            self.requests -= error is None

    def leave(self) -> None:
        """End the wait for a request, because the server stops. A connection's first request gets some more time."""
        with lock:
            idle = self.idle
            if idle is None or self.interruption is not None:
                return
            waiting = idle.waiting_on
        now = idle.scheduler.now()
        due = now if self.met else self.begun + self.server._first_request_s
        goes_on = waiting is None or isinstance(waiting, Pass) or _is_readable(waiting, idle.scheduler.poller)
        with lock:
            if self.idle is not idle or self.interruption is not None:
                return
            if due <= now and (goes_on or idle.waiting_on is not waiting):
                due = now + _AGAIN_S  # data that has come is received first
            if due > now:
                self._leave_at(min(due, now + _FOR_EVER_S), idle)
            else:
                self.interruption = _NoRequest("the server is stopping and no request is in progress")
                self.interruption.meant_for = idle
                idle.scheduler.interrupt(idle, self.interruption)

    def _leave_at(self, due: float, idle: Thread[object]) -> None:
        if self.timer is None:
            self.timer = Timer(idle.scheduler.timers, lambda: idle.scheduler.post(self.leave))
        self.timer.arm(due)

    # Which side caused the end.

    def _tell(self, thread: Thread[object], error: BaseException, clients: bool) -> None:
        left = reportable(thread, error)
        if left is None:
            return
        if isinstance(error, Cancelled) and error.meant_for is thread:
            return
        if self.cut and isinstance(error, Closed):  # the socket was closed under the thread, which did not end
            return
        if clients and not log.wants(INFO):
            return
        about = self.server.about() | {"peer": peer_of(self.conn), "coro_thread": thread.name}
        if clients:
            log.info("%s: %s", thread.name, _in_a_line(error), about=about)
        else:
            log.error("%s failed", thread.name, error=left, about=about)

    def _is_no_fault(self, error: BaseException, dropped: bool) -> bool:
        """Whether the client caused the error: it left, was silent, or sent too much. Or the program `dropped` it."""
        if isinstance(error, BaseExceptionGroup):
            return all(self._is_no_fault(one, dropped) for one in error.exceptions)
        if dropped and _is_of_close(error):
            return True
        fd = getattr(error, "socket_fd", None)  # the socket that the error came from, if known
        if fd is not None and fd != self.fd:
            return False
        if isinstance(error, ConnectionError):
            return not isinstance(error, ConnectionRefusedError)
        if fd is not None and (isinstance(error, (TimeoutError, IncompleteRead, LimitExceeded)) or _is_of_tls(error)):
            return True
        return isinstance(error, OSError) and error.errno in _GONE and self._has_gone()

    def _has_gone(self) -> bool:
        try:
            self.conn.getpeername()
        except OSError:
            return True
        return False


class Connections(dict[Connection, None]):
    """The connections of a server, and how many requests it has had. The lock guards them."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        super().__init__()
        self._before = 0  # requests of connections that have ended

    def __delitem__(self, connection: Connection) -> None:
        super().__delitem__(connection)
        self._before += connection.requests

    def present(self) -> list[Connection]:
        with lock:
            return list(self)

    def requests(self) -> int:
        with lock:
            return self._before + sum([connection.requests for connection in self])


def _is_readable(waiting: Any, poller: Poller) -> bool:
    """Whether the thread waits on a socket that has data, and so is about to continue."""
    fd = waiting.fileno() if hasattr(waiting, "fileno") else -1
    return fd >= 0 and fd in poller.ready([fd], [])[0]


def _is_of_close(error: BaseException) -> bool:
    """Whether a thread has used a socket that is closed. Queues and channels raise Closed, too, with other words."""
    return type(error) is Closed and error.strerror == _CLOSED.strerror


def _is_of_tls(error: BaseException) -> bool:
    """Whether this is an ssl.SSLError. `ssl` is not imported for that: most servers do not need it."""
    return any(kind.__module__ == "ssl" for kind in type(error).__mro__)


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_in_a_line, error.exceptions))
    if _is_of_close(error):
        return "closed by this program"
    return " ".join(str(error).split()) or type(error).__name__


current_connection: ContextVar[Connection | None] = ContextVar("socket2 connection", default=None)


class between_requests:
    """A block around the wait for the next request: `with between_requests(): line = yield from ...`.

    When the server stops, a thread in such a block is cancelled at once, not at the end of the grace. Data that has
    arrived by then is still received, also from the buffer of a Stream, and the thread continues until a block has to
    wait. The first request of a connection gets more time: until the connection is `first_request_s` old (see Server).
    The thread is that of the handler or one that it has started. In a thread that comes from no server, the block does
    nothing.
    """

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection = current_connection.get()

    def __enter__(self) -> None:
        if self._connection is not None:
            self._connection.wait_for_request(currentthread())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.request_has_come(currentthread(), error)


class before_requests(between_requests):
    """A block around what comes before the first request, such as a handshake. It is not the first request itself."""

    __slots__ = ()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        if self._connection is not None:
            self._connection.unmet(error)


def name_of(handler: str, conn: TCP) -> str:
    return f"{handler} {peer_of(conn)}"


def peer_of(conn: TCP) -> str:
    """Return the client's address as text. Most clients at a UNIX path have none."""
    return format_address(conn.remote_address) or "unix client"
