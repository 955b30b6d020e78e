"""Servers: accept on several sockets, a thread for each connection, and an end at which nobody is left in mid-answer.

A connection belongs to the thread that was started with it: when that ends, however it does, the socket is closed.
The threads that accept survive whatever becomes of connections; each owns its listener and closes it at its end.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from pollers import Cancelled, Closed, Operation, operation

from .addr import Host, Port, text_of
from .listeners import listen_at
from .loop import newthread
from .member import current_member
from .signals import catching
from .sync import Event
from .tcp import TCP
from .thread import Thread, currentthread
from .timers import duration
from .waiting import sleep, timeout
from .waits import Join

log = logging.getLogger("socket2")

GRACE_S = 30.0

# What a poller returns at a time.
_EVENTS_PER_TURN = 256

# A thread that was cut off has so long to clean up; then its socket is closed under it, and it has as long again.
CLEANUP_S = 1.0


class _Connection(Join):
    """A connection and its thread, of whose end it is told as whoever joins it is."""

    __slots__ = ("conn", "cut", "idle", "interruption", "met", "server", "thread")

    def __init__(self, server: Server, conn: TCP) -> None:
        super().__init__("connection")
        self.server = server
        self.conn = conn
        self.thread: Thread | None = None  # None in its first step
        self.cut = False
        self.met = False  # has come to its first between_requests
        self.idle: Thread | None = None
        self.interruption: Cancelled | None = None

    def finish(self, result: Any = None) -> bool:
        """The thread has ended. False: its error is still to be reported."""
        thread = self.thread or currentthread()
        self.conn.close()
        self.server._ended(self)
        if isinstance(thread._error, ConnectionError):
            log.info("%s: %s", thread.name, thread._error)
            return True
        return False

    def leave(self) -> None:
        """The server stops: whoever waits here for a request need not."""
        if self.idle is not None and self.interruption is None:
            self.interruption = Cancelled("the server stops, and no request is in hand")
            self.interruption.meant_for = self.idle
            self.idle.scheduler.interrupt(self.idle, self.interruption)


_connection: ContextVar[_Connection | None] = ContextVar("socket2 connection", default=None)


class between_requests:
    """A block in a handler, around the wait for the next request: `with between_requests(): line = yield from ...`.

    When its server stops, a thread in such a block is cancelled at once and not at the end of the grace. What has
    arrived by then is received, and the thread goes on until it comes here again. A connection's first request is
    always waited for. In a thread that no server has started the block does nothing.
    """

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection = _connection.get()

    def __enter__(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not connection.met:
            connection.met = True
            return
        connection.idle = thread = currentthread()
        if connection.server.stopping:
            thread.scheduler.post(connection.leave)  # once it waits: what is there already is still received

    def __exit__(self, *_: object) -> None:
        connection = self._connection
        if connection is not None and connection.idle is not None:
            if connection.interruption is not None:
                connection.idle.scheduler.forgive(connection.idle, connection.interruption)
            connection.idle = connection.interruption = None


class Server:
    """Accepts connections and starts `handler(conn)` in a thread for each; a function of any kind that can be a thread.

    When that thread ends the connection is closed. An exception of it goes to crashhook() and concerns nobody else; a
    ConnectionError, which means as a rule that the client has gone, is logged only (as "socket2", INFO).
    `max_connections`: with so many it stops accepting; others wait in the kernel's queue. (One more may be taken per
    listener, but for the first, and waits for its turn.)

    TypeError for a handler that cannot be called, ValueError for less than 1 connection.

    `stopping`: stop() was called, or no listener is left. `cut`: how many connections it had to cut off. `addresses`:
    where it listens, or listened, as the standard library has it.
    """

    def __init__(self, handler: Callable[[TCP], Any], *, max_connections: int | None = None) -> None:
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {handler!r}")
        if max_connections is not None and max_connections < 1:
            raise ValueError(f"a server has room for 1 connection or more, not {max_connections!r}")
        self.stopping = False
        self.cut = 0
        self.addresses: list[Any] = []
        self._handler = handler
        self._name = getattr(handler, "__qualname__", "connection")
        self._max = max_connections
        self._accepting: dict[TCP, Thread | None] = {}
        self._connections: dict[_Connection, None] = {}
        self._cutting = False
        self._failure: OSError | None = None
        self._room, self._gone = Event(), Event()
        self._room.set()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    # Accepting.

    def listen(
        self, host: Host = None, port: Port = 0, *, backlog: int | None = None, reuse_port: bool = False
    ) -> Operation[None]:
        """Listen on all addresses of a host, and accept from now on. May be called for several.

        `host`, `port` as in addr(), of both families: None for any interface, "localhost" for both loopback addresses.
        Port 0 is one free port, the same for all of them. `backlog` as in TCP.listen(). `reuse_port`: several processes
        may listen there, and the kernel spreads connections over them (SO_REUSEPORT, socket(7)). OSError when an
        address is in use or not ours, socket.gaierror; then nothing listens.
        """
        return self._listen(host, port, backlog, reuse_port)

    @operation
    def _listen(self, host: Host, port: Port, backlog: int | None, reuse_port: bool) -> Generator[Any, None, None]:
        listeners = yield from listen_at(host, port, backlog, reuse_port)
        while listeners:
            try:
                self.add(listeners.pop(0))
            except BaseException:
                for listener in listeners:
                    listener.close()
                raise

    def add(self, listener: TCP, *, shared: bool = False) -> None:
        """Accept on a socket that listens already, from now on. It is the server's then, and closed at the end.

        `shared`: others have this very socket, too; connections that wait in it when the server stops are theirs.
        RuntimeError when the server stops or has stopped.
        """
        if self.stopping:
            listener.close()
            raise RuntimeError("the server has been stopped")
        self.addresses.append(listener.getsockname())
        self._accepting[listener] = None
        thread = newthread(self._accept(listener, shared), name=f"accept on {text_of(self.addresses[-1])}")
        if listener in self._accepting:
            self._accepting[listener] = thread

    def _accept(self, listener: TCP, shared: bool) -> Generator[Any, None, None]:
        try:
            while True:
                yield from self._room.wait()
                conn = yield from listener.accept()
                try:
                    while self._full():
                        yield from self._room.wait()
                finally:
                    self._begin(conn)  # whatever comes: it has been accepted
        except Closed:
            pass
        except Cancelled:
            if not self.stopping:
                raise
            if not shared and not self._cutting and not listener.closed:
                yield from self._drain(listener)
        except OSError as error:
            log.error("%r accepts no more: %s", listener, error)
            self._failure = error
        finally:
            del self._accepting[listener]
            listener.close()
            if not self._accepting:
                self.stopping = True
            self._look_whether_gone()

    def _drain(self, listener: TCP) -> Generator[Any, None, None]:
        """Begin what the kernel has queued, and close right after: what comes in between is refused by the kernel."""
        for _ in range(2):  # a poller may have accepted ahead; whoever gives up waiting at once makes it end that
            with suppress(OSError), timeout(0):
                while True:
                    self._begin((yield from listener.accept()))
        for _ in range(0 if listener.closed or self._cutting else socket.SOMAXCONN):
            try:
                conn, address = listener._std.accept()
            except ConnectionError:
                continue
            except OSError:
                return  # nobody is left, or there is no room for them
            self._begin(TCP(conn, None, "a server's queue", address))

    # Connections: changed in these short functions only.

    def _full(self) -> bool:
        return self._max is not None and len(self._connections) >= self._max

    def _begin(self, conn: TCP) -> None:
        connection = _Connection(self, conn)
        self._connections[connection] = None
        if self._full():
            self._room.clear()
        _connection.set(connection)  # for the new thread, which begins with a copy of this one's variables
        try:
            name = f"{self._name} {text_of(conn.remote_address)}"
            thread = current_member().newthread(self._handler, (conn,), name, connection)
        except Exception:
            log.exception("%r cannot be started for a connection", self._handler)
            conn.close()
            self._ended(connection)
        else:
            connection.thread = thread
            if self._cutting:
                self._cut_off(connection)
        finally:
            _connection.set(None)

    def _ended(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)
        if not self._full():
            self._room.set()
        self._look_whether_gone()

    def _cut_off(self, connection: _Connection) -> None:
        if connection.thread is not None and not connection.cut and connection.thread.cancel():
            connection.cut = True
            self.cut += 1

    def _look_whether_gone(self) -> None:
        if self.stopping and not self._accepting and not self._connections:
            self._gone.set()

    # The end.

    def wait(self) -> Operation[int]:
        """Wait until the server has stopped and its last connection has ended; return how many were cut off.

        Ends also when no listener is left because of an error; that is raised then. Cancelled: the server goes on.
        """
        return self._wait()

    @operation
    def _wait(self) -> Generator[Any, None, int]:
        yield from self._gone.wait()
        if self._failure is not None:
            raise self._failure
        return self.cut

    def stop(self, grace_s: float = GRACE_S) -> Operation[int]:
        """Accept no more, let handlers finish for `grace_s` seconds, cut off the rest; return how many that were.

        Connections that wait in the kernel's queue are taken first, and answered like the others. Who waits in
        between_requests() is cancelled at once. The rest is cancelled at the end of the grace, has a second for its
        cleanup, and then its socket is closed. Called again, while it lasts or after, it waits for the same end; a
        shorter grace then counts. Cancelled: nothing is accepted any more, what is being handled goes on.
        """
        return self._stop(duration(grace_s))

    @operation
    def _stop(self, grace_s: float) -> Generator[Any, None, int]:
        self.stopping = True
        self._cutting = self._cutting or grace_s == 0
        for accepting in self._accepting.values():
            if accepting is not None:
                accepting.cancel()
        self._look_whether_gone()
        for _ in range(2 + len(self._connections) // _EVENTS_PER_TURN):  # two, since the first may end in this turn
            yield from sleep(0)  # a request that has arrived is received before anybody leaves
        for connection in list(self._connections):
            connection.leave()
        if not (yield from self._gone_after(grace_s)):
            self._cutting = True
            for connection in list(self._connections):
                self._cut_off(connection)
            if not (yield from self._gone_after(CLEANUP_S)):
                for connection in list(self._connections):
                    connection.conn.close()
                if not (yield from self._gone_after(CLEANUP_S)):
                    log.error("%d threads of %s do not end", len(self._connections), self._name)
                    self._gone.set()
        return self.cut

    @operation
    def _gone_after(self, seconds: float) -> Generator[Any, None, bool]:
        try:
            yield from self._gone.wait(seconds)
        except TimeoutError:
            pass
        return self._gone.is_set()

    def __repr__(self) -> str:
        where = ", ".join(map(text_of, self.addresses))
        return f"<Server on {where}, {self.connections} connections{', stopping' * self.stopping}>"


def serve(
    handler: Callable[[TCP], Any],
    host: Host = None,
    port: Port = 0,
    *,
    listeners: Sequence[TCP] = (),
    backlog: int | None = None,
    reuse_port: bool = False,
    max_connections: int | None = None,
    grace_s: float = GRACE_S,
    signals: Iterable[int] = (signal.SIGTERM, signal.SIGINT),
    ready: Callable[[Server], Any] | None = None,
) -> Operation[int]:
    """Serve until one of `signals` arrives, then stop with a grace of `grace_s` seconds; return how many were cut off.

    `handler` and `max_connections` as in Server, the addresses as in Server.listen(). `listeners`: sockets to accept on
    instead of `host` and `port`, as inherited_listeners() has them, shared with others. `ready(server)` is called when
    it listens. A second signal cuts at once. Signals are caught in the main OS thread only, and one that is ignored
    stays so; the handlers from before are put back. Cancelled: cuts at once. Raises what Server.listen() does.
    """
    server = Server(handler, max_connections=max_connections)
    return _serve(server, (host, port, backlog, reuse_port), listeners, duration(grace_s), signals, ready)


@operation
def _serve(
    server: Server,
    where: tuple[Host, Port, int | None, bool],
    listeners: Sequence[TCP],
    grace_s: float,
    signals: Iterable[int],
    ready: Callable[[Server], Any] | None,
) -> Generator[Any, None, int]:
    stops: list[Thread] = []

    def stop(signum: int) -> None:
        log.info("%s: stopping %r", signal.Signals(signum).name, server)
        stops.append(newthread(server.stop, 0 if stops else grace_s))

    with catching(signals, stop):
        try:
            for listener in listeners:
                server.add(listener, shared=True)
            if not listeners:
                yield from server._listen(*where)
            if ready is not None:
                ready(server)
            cut = yield from server.wait()
        except (Exception, Cancelled):
            yield from server.stop(0)
            raise
        for thread in stops:
            yield from thread.join()
        return cut
