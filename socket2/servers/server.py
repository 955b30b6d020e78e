"""Servers: accept on several sockets, a thread for each connection, and an end at which nobody is left in mid-answer.

A connection belongs to the thread that was started with it: when that ends, however it does, the socket is closed.
The threads that accept survive whatever becomes of connections; each owns its listener and closes it at its end.
"""

from __future__ import annotations

import operator
import socket
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

import pollers
from pollers import Cancelled, Closed, Operation, operation

from ..sockets.address import Host, Port, Query, text_of
from ..sockets.tcp import TCP, check_backlog
from ..threads.journal import Journal
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.member import current_member
from ..threads.sleeping import sleep
from ..threads.sync import Event
from ..threads.thread import Thread
from ..threads.timers import duration
from .accepting import Room, accept, accept_in_turn, drain
from .connection import Connection, current_connection, name_of
from .listeners import adopt_listener, listen_at, queries_of

log = Journal("socket2.server")

GRACE_S = 30.0
FIRST_REQUEST_S = 5.0

# What a poller returns at a time.
_EVENTS_PER_TURN = 256

# A thread that was cut off has so long to clean up; then its socket is closed under it, and it has as long again.
CLEANUP_S = 1.0


class Server(pollers.Unique):
    """Accepts connections and starts `handler(conn)` in a thread for each; a function of any kind that can be a thread.

    When that thread ends the connection is closed. What it raises concerns nobody else, and is logged as
    "socket2.server": what the client has caused (it has gone, says nothing, ends within a line, sends too long a one)
    in one line (INFO), what the handler has done with its traceback (ERROR).
    `max_connections`: so many are accepted and handled at a time. Others wait in the kernel's queue; when one ends, the
    listener that has waited longest gets its place.
    `first_request_s`: how old a connection has to be until stop() takes one that waits for its first request in
    between_requests() for idle; math.inf: it is waited for as long as the grace lasts.

    TypeError for a handler that cannot be called, ValueError for less than 1 connection or a negative time.

    `stopping`: stop() was called, or no listener is left. `cut`: how many connections it had to cut off. `addresses`:
    where it listens, or listened, as the standard library has it. Any thread of its scheduler may call its methods, in
    whichever OS thread that runs: what several of them change is changed under a lock, which nobody waits under.
    """

    def __init__(
        self,
        handler: Callable[[TCP], Any],
        *,
        max_connections: int | None = None,
        first_request_s: float = FIRST_REQUEST_S,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"a handler is a function, not {handler!r}")
        if max_connections is not None and operator.index(max_connections) < 1:
            raise ValueError(f"a server has room for 1 connection or more, not {max_connections!r}")
        # Under the lock are changed: these, and what is said of a Connection there.
        self.stopping = False
        self.cut = 0
        self._accepting: dict[TCP, Thread | None] = {}
        self._connections: dict[Connection, None] = {}
        self._queued: deque[TCP] = deque()  # accepted at the end, and there is no room for them yet
        self._cutting = False
        self._drains_shared = False  # nobody else is left to serve who waits in a shared listener
        self._failure: Exception | None = None
        # These are not changed, or take the lock themselves.
        self.addresses: list[Any] = []
        self._handler = handler
        self._name = getattr(handler, "__qualname__", "connection")
        self._room = Room(max_connections) if max_connections is not None else None
        self._first_request_s = duration(first_request_s)
        self._gone = Event()
        self._context = copy_context()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    # Accepting.

    def listen(
        self,
        host: Host = None,
        port: Port = None,
        *,
        backlog: int | None = None,
        reuse_port: bool = False,
        nodelay: bool = True,
    ) -> Operation[None]:
        """Listen on all addresses of a host, and accept from now on. May be called for several.

        `host`, `port` as in addr(), of both families: None for any interface, "localhost" for both loopback addresses.
        Without a port, `host` may also be a place as in listen(): "host:port", "[::1]:port", a UNIX path. Port 0, or
        none, is one free port, the same for all of them. `backlog` as in TCP.listen(). `reuse_port`: several processes
        may listen there, and the kernel spreads connections over them (SO_REUSEPORT, socket(7)). `nodelay` is for
        the connections, as in tcp(). OSError when an address is in use or not ours, socket.gaierror; then nothing
        listens.
        """
        check_backlog(backlog)
        return self._listen(queries_of(host, port), backlog, reuse_port, nodelay)

    @operation
    def _listen(
        self, queries: list[Query], backlog: int | None, reuse_port: bool, nodelay: bool
    ) -> Generator[Any, None, None]:
        listeners = yield from listen_at(queries, backlog, reuse_port, nodelay)
        try:
            while listeners:
                self.add(listeners.pop(0))
        finally:
            for listener in listeners:
                listener.close()

    def add(self, listener: TCP | socket.socket, *, shared: bool = False) -> None:
        """Accept on a socket that listens already, from now on. It is the server's then, and closed at the end.

        The standard library's will do: it is detached. `shared`: others have this very socket, too; connections that
        wait in it when the server stops are theirs. TypeError for what is no stream socket, ValueError when it does not
        listen or was added before, Closed; RuntimeError when the server stops or has stopped.
        """
        if listener in self._accepting:
            raise ValueError(f"the server accepts on {listener!r} already")
        listener = adopt_listener(listener)
        address = listener.getsockname()
        with lock:
            stopping = self.stopping
            if not stopping:
                self._accepting[listener] = None
                self.addresses.append(address)
        if stopping:
            listener.close()
            raise RuntimeError("the server has been stopped")
        try:
            thread = newthread(self._accept(listener, shared), name=f"accept on {text_of(address)}")
        except BaseException:  # nothing of it stays, and the server goes on without it
            with lock:
                self.addresses.remove(address)
            self._drop(listener)
            raise
        with lock:
            if listener in self._accepting:
                self._accepting[listener] = thread
                stopping = self.stopping
        if stopping:  # in between
            thread.cancel()

    def _accept(self, listener: TCP, shared: bool) -> Generator[Any, None, None]:
        room = self._room
        try:
            while True:
                conn = yield from (accept(listener) if room is None else accept_in_turn(listener, room, self._pass_on))
                self._start(self._enter(conn))
        except Closed:
            pass
        except Cancelled:
            if not self.stopping:
                raise
            if (not shared or self._drains_shared) and not self._cutting and not listener.closed:
                yield from drain(listener, self._admit, lambda: self._cutting)
        except Exception as error:
            log.error("%r accepts no more: %s", listener, error, extra={"server": self})
            self._failure = error
        finally:
            self._drop(listener)
            with lock:
                if not self._accepting:
                    self.stopping = True
            self._look_whether_gone()

    def _drop(self, listener: TCP) -> None:
        try:
            listener.close()
        finally:
            with lock:
                self._accepting.pop(listener, None)
            self._look_whether_gone()

    # Connections.

    def _enter(self, conn: TCP) -> Connection:
        """A connection is the server's from here to _ended(). Its place in the room has been taken."""
        connection = Connection(self, conn)
        with lock:
            self._connections[connection] = None
        return connection

    def _admit(self, conn: TCP) -> None:
        """Begin a connection that was in the kernel's queue at the end, now or as soon as there is room."""
        with lock:
            if self._room is not None and not self._room.take():
                self._queued.append(conn)
                return
            connection = self._enter(conn)
        self._start(connection)

    def _start(self, connection: Connection) -> None:
        current_connection.set(connection)  # for the new thread, which begins with a copy of this one's variables
        try:
            name = name_of(self._name, connection.conn)
            current_member().newthread(self._handler, (connection.conn,), name, connection)
        except BaseException as error:
            connection.conn.close()
            self._ended(connection)
            if not isinstance(error, Exception):
                raise
            log.exception("%r cannot be started for a connection", self._handler, extra={"server": self})
        else:
            if self._cutting:
                self._cut_off(connection)
        finally:
            current_connection.set(None)

    def _ended(self, connection: Connection) -> None:
        """Its socket is closed."""
        with lock:
            if connection not in self._connections:
                return
            if self._room is None:
                del self._connections[connection]
            else:
                self._pass_on(connection)
        self._look_whether_gone()

    def _pass_on(self, connection: Connection | None = None) -> None:
        """A place has become free, which this one had: who has been accepted already comes first."""
        assert self._room is not None
        following = None
        with lock:
            if connection is not None:
                del self._connections[connection]
            if self._queued:
                following = self._enter(self._queued.popleft())
            else:
                self._room.give_back()
        if following is not None:
            current_member().scheduler.post(partial(self._context.copy().run, self._start, following))

    def _cut_off(self, connection: Connection) -> None:
        with lock:
            thread = connection.thread
            if thread is None or thread.done or connection.cut:
                return
            connection.cut = True
            self.cut += 1  # before its end, which whoever waits is told
        thread.cancel()

    def _cut_off_all(self) -> None:
        with lock:
            self._cutting = True
            queued = list(self._queued)
            self._queued.clear()
            self.cut += len(queued)
        for connection in self._present():
            self._cut_off(connection)
        for conn in queued:
            conn.close()
        self._cancel_accepting()  # whose drain may wait for a descriptor
        self._look_whether_gone()

    def _look_whether_gone(self) -> None:
        with lock:
            gone = self.stopping and not self._accepting and not self._connections
        if gone:
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

        Connections that wait in the kernel's queue are taken first, and answered like the others, as there is room.
        Who waits in between_requests() is cancelled at once, for a first request when it is due. The rest is cancelled
        at the end of the grace, has a second for its cleanup, and then its socket is closed. Called again, while it
        lasts or after, it waits for the same end; a shorter grace then counts. Cancelled: nothing is accepted any more,
        what is being handled goes on.
        """
        return self._stop(duration(grace_s))

    @operation
    def _stop(self, grace_s: float) -> Generator[Any, None, int]:
        with lock:
            first, self.stopping = not self.stopping, True
            self._cutting = self._cutting or grace_s == 0
        if first:  # or it would interrupt the drain
            self._cancel_accepting()
        self._look_whether_gone()
        for _ in range(2 + len(self._connections) // _EVENTS_PER_TURN):  # two, since the first may end in this turn
            yield from sleep(0)  # a request that has arrived is received before anybody leaves
        for connection in self._present():
            connection.leave()
        if not (yield from self._gone_after(grace_s)):
            self._cut_off_all()
            if not (yield from self._gone_after(CLEANUP_S)):
                for connection in self._present():
                    connection.conn.close()
                if not (yield from self._gone_after(CLEANUP_S)):
                    log.error("%d threads of %s do not end", len(self._connections), self._name, extra={"server": self})
                    self._gone.set()
        return self.cut

    def _present(self) -> list[Connection]:
        with lock:
            return list(self._connections)

    def _cancel_accepting(self) -> None:
        with lock:
            threads = [thread for thread in self._accepting.values() if thread is not None]
        for thread in threads:
            thread.cancel()

    @operation
    def _gone_after(self, seconds: float) -> Generator[Any, None, bool]:
        with suppress(TimeoutError):
            yield from self._gone.wait(seconds)
        return self._gone.is_set()

    def __repr__(self) -> str:
        where = ", ".join(map(text_of, self.addresses))
        return f"<Server on {where}, {self.connections} connections{', stopping' * self.stopping}>"
