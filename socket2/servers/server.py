"""A server: accepts on several sockets, runs a thread for each connection, and stops gracefully.

A connection belongs to its thread: when the thread ends, in whatever way, the socket is closed. The accepting threads
survive all failures of connections. Each owns its listener and closes it when it ends.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Cancelled, Closed, Operation, operation

from ..sockets.address import Host, Port, Query, SocketAddress, format_address
from ..sockets.paths import MODE, Owner, PathRules, Unlink
from ..sockets.tcp import TCP, check_backlog
from ..threads.events import Event
from ..threads.inventory import enroll
from ..threads.journal import Journal
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.member import current_member
from ..threads.sleeping import sleep
from ..threads.thread import Thread
from ..threads.timers import duration
from ..tls.arguments import HANDSHAKE_S
from ..tls.layer import TLS
from .accepting import Room, accept, accept_in_turn, drain
from .behind import layered
from .connection import Connection, Connections, current_connection, name_of, peer_of
from .handshaking import check_limits
from .listeners import adopt_listener, listen_at, queries_of, where

if TYPE_CHECKING:
    import ssl

log = Journal("socket2.server")
GRACE_S = 30.0
FIRST_REQUEST_S = 5.0

_EVENTS_PER_TURN = 256  # how many a poller returns
# How long a thread that was cut off has to clean up. Then its socket is closed, and it has the same time once more.
CLEANUP_S = 1.0


class Server(pollers.Unique):
    """Accepts connections and runs `handler(conn)` in a thread for each.

    A handler is any function that can be a thread. When its thread ends, the connection is closed. An error in a
    handler affects no other connection. It is logged to "socket2.server": in one line (INFO) if the client caused it
    (it left, was silent, ended within a line, sent too long a line), with a traceback (ERROR) if the handler did.

    `max_connections`: how many connections are accepted and handled at a time. Others wait in the kernel's queue. When
    a connection ends, the listener that has waited longest gets its place.

    `first_request_s`: how many seconds old a connection must be before stop() drops it while it waits for its first
    request in between_requests(). math.inf: the connection may wait as long as the grace lasts.

    `tls`: a context such as server_context() makes. Then each connection is a TLS object, and the handler is called
    after the handshake. A handshake that fails is logged in one line (INFO). It may take `handshake_s` seconds, None
    for any time. `max_handshakes`: how many are made at a time, not counting starttls(); others wait as long as a
    handshake may take. When a handler ends without an error, a close_notify is sent before the connection is closed.

    `proxy_protocol`: addresses and networks of balancers, "unix" for UNIX paths. Each connection must come from one of
    them, and begin with a header of the PROXY protocol within `handshake_s`. Its address is then the header's.

    Raises TypeError if the handler is not callable, or for `max_handshakes` without `tls`; ValueError if a limit is
    less than 1 connection, a time is negative, a network is none, or the context is for clients.

    `stopping`: an Event that is set when stop() is called or no listener is left. `leaving`: one that is set then, or
    `drain_s` earlier (see serve()). `cut`: how many connections were cut off. `accepted`: how many there were.
    `addresses`: where the server listens or listened, in the standard library's form. Any thread of the scheduler may
    call the methods, in any OS thread: shared state changes under a lock that is never held while waiting.
    """

    def __init__(
        self,
        handler: Callable[[TCP], Any] | Callable[[TLS], Any],
        *,
        max_connections: int | None = None,
        first_request_s: float = FIRST_REQUEST_S,
        tls: ssl.SSLContext | None = None,
        handshake_s: float | None = HANDSHAKE_S,
        max_handshakes: int | None = None,
        proxy_protocol: Sequence[Any] | None = None,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"handler must be a function, not {handler!r}")
        check_limits(max_connections, handshake_s, max_handshakes, tls is not None)
        # The lock guards these, and the fields of a Connection that are marked there.
        self.stopping = Event()
        self.leaving = Event()
        self.cut = 0
        self.accepted = self.refused = 0
        self._accepting: dict[TCP, Thread[object] | None] = {}
        self._connections = Connections()
        self._queued: deque[TCP] = deque()  # accepted at the end, waiting for a place
        self._cutting = False
        self._stopped = False  # whether stop() was called; the program may have set `stopping` itself
        self._drains_shared = False  # no other process serves the clients that wait in a shared listener
        self._failure: Exception | None = None
        # These do not change, or take the lock themselves.
        self.addresses: list[SocketAddress] = []
        self._name = getattr(handler, "__qualname__", "connection")
        self._handler, self._handshakes = layered(handler, self._name, tls, handshake_s, max_handshakes, proxy_protocol)
        self._room = Room(max_connections) if max_connections is not None else None
        self._first_request_s = duration(first_request_s)
        self._gone = Event()
        self._context = copy_context()
        enroll(self)

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._connections)

    @property
    def requests(self) -> int:
        """How many between_requests blocks have ended without an error."""
        return self._connections.requests()

    def about(self) -> dict[str, object]:
        """Return what log records say of the server. For the other rooms of socket2."""
        return {"server": where(self.addresses)}

    def facts(self) -> dict[str, object]:
        """Return what the server is doing. For the other rooms of socket2."""
        counts = {name: getattr(self, name) for name in ("connections", "accepted", "refused", "requests", "cut")}
        handshakes = {"handshakes": self._handshakes and self._handshakes.facts()}
        addresses = list(map(format_address, self.addresses))
        return {"server": self._name, "addresses": addresses, "stopping": self.stopping.is_set()} | counts | handshakes

    # Accepting.

    def listen(
        self,
        host: Host = None,
        port: Port = None,
        *,
        backlog: int | None = None,
        reuse_port: bool = False,
        nodelay: bool = True,
        mode: int | None = MODE,
        owner: Owner = None,
        unlink: Unlink = "own",
    ) -> Operation[None]:
        """Listen on all addresses of a host and start accepting. Can be called several times.

        `host`, `port`: as in addr(), for both families: None means any interface, "localhost" both loopback addresses.
        Without a port, `host` may be a place as in socket2.listen(): "host:port", "[::1]:port", a UNIX path. Port 0 or
        none means one free port, the same for all addresses. `backlog`: as in TCP.listen(). `reuse_port`: several
        processes may listen there, and the kernel distributes connections among them (SO_REUSEPORT, socket(7)).
        `nodelay`: for the connections, as in tcp(). `mode`, `owner`, `unlink`: for a UNIX path, as in socket2.listen();
        the file is removed when the server stops. Raises OSError if an address is in use or not local,
        socket.gaierror; then none of them listens.
        """
        check_backlog(backlog)
        return self._listen(queries_of(host, port), backlog, reuse_port, nodelay, PathRules(mode, owner, unlink))

    @operation
    def _listen(
        self, queries: list[Query], backlog: int | None, reuse_port: bool, nodelay: bool, rules: PathRules
    ) -> Generator[Any, None, None]:
        listeners = yield from listen_at(queries, backlog, reuse_port, nodelay, rules)
        try:
            for _ in range(len(listeners)):  # see threads/lock.py
                self.add(listeners.pop(0))
        finally:
            for listener in listeners:
                listener.close()

    def add(self, listener: TCP | socket.socket, *, shared: bool = False) -> None:
        """Accept on a socket that is already listening. The server owns it from now on, and closes it when it stops.

        A standard library socket is accepted, too; it is detached. `shared`: other processes have this very socket;
        when this server stops, they get the connections that wait in it. Raises TypeError if it is not a stream socket,
        ValueError if it is not listening or was added before, Closed, and RuntimeError if the server is stopping or has
        stopped.
        """
        if listener in self._accepting:
            raise ValueError(f"the server already accepts on {listener!r}")
        listener = adopt_listener(listener)
        address = listener.getsockname()
        with lock:
            stopping = self.stopping.is_set()
            if not stopping:
                self._accepting[listener] = None
                self.addresses.append(address)
        if stopping:
            listener.close()
            raise RuntimeError("the server has been stopped")
        try:
            thread = newthread(self._accept(listener, shared, address), name=f"accept on {format_address(address)}")
        except BaseException:  # no trace of it stays, and the server continues without it
            with lock:
                self.addresses.remove(address)
            self._drop(listener)
            raise
        with lock:
            if listener in self._accepting:
                self._accepting[listener] = thread
                stopping = self.stopping.is_set()
        if stopping:  # stop() was called meanwhile
            thread.cancel()

    def _accept(self, listener: TCP, shared: bool, address: Any) -> Generator[Any, None, None]:
        room = self._room
        try:
            while True:
                conn = yield from (accept(listener) if room is None else accept_in_turn(listener, room, self._pass_on))
                self._start(self._enter(conn))
        except Closed:
            pass
        except Cancelled:
            if not self.stopping.is_set():
                raise
            if not self._cutting and not listener.closed:
                leaves_queue = shared and not self._drains_shared
                yield from drain(listener, self._admit, lambda: self._cutting, leaves_queue)
        except Exception as error:
            log.error(
                "%r stopped accepting: %s", listener, error, about=self.about() | {"local": format_address(address)}
            )
            self._failure = error
        finally:
            self._drop(listener)
            with lock:
                if not self._accepting:
                    self.stopping.set()  # its waiters are woken by a posted call, because the lock is held
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
        """Register a connection, which has a place already. The server owns it until _ended()."""
        connection = Connection(self, conn)
        with lock:
            self._connections[connection] = None
            self.accepted += 1
        return connection

    def _admit(self, conn: TCP) -> None:
        """Start a connection from the kernel's queue at the end, now or as soon as there is a place."""
        with lock:
            if self._room is not None and not self._room.take():
                self._queued.append(conn)
                return
            connection = self._enter(conn)
        self._start(connection)

    def _start(self, connection: Connection) -> None:
        current_connection.set(connection)  # for the new thread, which copies this context
        try:
            name = name_of(self._name, connection.conn)
            current_member().newthread(self._handler, (connection.conn,), name, connection)
        except BaseException as error:
            connection.conn.close()
            self._ended(connection)
            if not isinstance(error, Exception):
                raise
            about = self.about() | {"peer": peer_of(connection.conn)}
            log.error("cannot start %s for a connection", self._name, error=error, about=about)
        else:
            if self._cutting:
                self._cut_off(connection)
        finally:
            current_connection.set(None)

    def _ended(self, connection: Connection) -> None:
        """Remove a connection whose socket is closed."""
        with lock:
            if connection not in self._connections:
                return
            if self._room is None:
                del self._connections[connection]
            else:
                self._pass_on(connection)
        self._look_whether_gone()

    def _pass_on(self, connection: Connection | None = None) -> None:
        """Pass on a free place, `connection`'s if given. A connection that is already accepted comes first."""
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
            self.cut += 1  # before the connection ends, which waiters are told
        thread.cancel()

    def _cut_off_all(self) -> None:
        with lock:
            self._cutting = True
            queued, self._queued = self._queued, deque()
            self.cut += len(queued)
        for connection in self._connections.present():
            self._cut_off(connection)
        for conn in queued:
            conn.close()
        self._cancel_accepting()  # a drain may be waiting for a descriptor
        self._look_whether_gone()

    def _look_whether_gone(self) -> None:
        with lock:
            gone = self.stopping.is_set() and not self._accepting and not self._connections
        if gone:
            self._gone.set()

    # Stopping.

    def wait(self) -> Operation[int]:
        """Wait until the server has stopped and its last connection has ended; return how many were cut off.

        If no listener is left because of an error, that error is raised. Cancelling the wait does not stop the server.
        """
        return self._wait()

    @operation
    def _wait(self) -> Generator[Any, None, int]:
        yield from self._gone.wait()
        if self._failure is not None:
            raise self._failure
        return self.cut

    def stop(self, grace_s: float = GRACE_S) -> Operation[int]:
        """Stop accepting, let handlers finish for `grace_s` seconds, cut off the rest; return how many were cut off.

        Connections in the kernel's queue are accepted first, and served as places become free. A thread that waits in
        between_requests() is cancelled at once, or when its time for a first request is over. When the grace is over,
        the remaining threads are cancelled. They have one second to clean up; then their sockets are closed. A further
        call, during a stop or after it, waits for the same end, and a shorter grace takes effect. If stop() itself is
        cancelled, the server accepts nothing more, and the handlers continue.
        """
        return self._stop(duration(grace_s))

    @operation
    def _stop(self, grace_s: float) -> Generator[Any, None, int]:
        with lock:
            first, self._stopped = not self._stopped, True
            self.stopping.set()
            self.leaving.set()
            self._cutting = self._cutting or grace_s == 0
        if first:  # a second cancellation would interrupt the drain
            self._cancel_accepting()
        self._look_whether_gone()
        for _ in range(2 + len(self._connections) // _EVENTS_PER_TURN):  # at least two: the first may end in this turn
            yield from sleep(0)  # a request that has arrived is received before anyone leaves
        for connection in self._connections.present():
            connection.leave()
        if not (yield from self._gone_after(grace_s)):
            self._cut_off_all()
            if not (yield from self._gone_after(CLEANUP_S)):
                for connection in self._connections.present():
                    connection.conn.close()
                if not (yield from self._gone_after(CLEANUP_S)):
                    log.error("%d threads of %s did not end", len(self._connections), self._name, about=self.about())
                    self._gone.set()
        return self.cut

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
        state = ", stopping" if self.stopping.is_set() else ""
        return f"<Server on {where(self.addresses)}, {self.connections} connections{state}>"
