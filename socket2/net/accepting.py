"""Accepts connections from a listening socket, and gives them to listeners or to threads that ask for them.

One thread accepts while somebody wants connections; until then they wait in the backlog. This module does not know how
the socket came to listen.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Self

from pollers import Closed, operation

from ..sockets.tcp import TCP
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.scheduler import current_scheduler
from ..threads.sleeping import sleep
from ..threads.thread import Thread, over_at_once
from ..threads.timers import Timer, duration
from ..threads.wait import Wait
from .address import family_of, host_of, port_of
from .arguments import checked_count
from .emitter import Emitter
from .failures import described
from .ip import block_list_of, is_blocked
from .opening import Listener
from .socket import Socket


class Accepting(Emitter):
    """The part of a server that accepts."""

    _for_connections: tuple[str, ...] = ("connection",)
    """The events whose listeners want connections. The first one has the connections."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._socket_options = dict(options)
        self._pause_on_connect = bool(self._socket_options.pop("pauseOnConnect", False))
        self._block_list = block_list_of(self._socket_options)
        self._socket_options.pop("blockList", None)
        for name in ("highWaterMark", "maxBufferSize"):
            if self._socket_options.get(name) is not None:
                checked_count(name, self._socket_options[name])
        self._max_connections: int | None = None
        self._drops_too_many = False
        self._shared = False
        self._listener: Listener | None = None
        self._opening: object | None = None  # the listen() in progress, or the one that has succeeded
        self._told = False  # whether 'listening' was emitted
        self._sockets: dict[Socket, None] = {}  # in the order in which they were accepted
        self._acceptor: Thread[object] | None = None
        self._accepting: object | None = None  # identifies the acceptor: a later one gets another
        self._pauser: Timer | None = None
        self._takers: list[Wait] = []
        self._spare: list[Socket] = []  # accepted for a thread that has left since
        self._referenced = True
        self._aside = False
        self._pauses_aside = False

    @property
    def maxConnections(self) -> int | None:
        """How many connections there may be. More are dropped, see dropMaxConnection. None: no limit. Can be set."""
        return self._max_connections

    @maxConnections.setter
    def maxConnections(self, limit: int | None) -> None:
        self._max_connections = None if limit is None else checked_count("maxConnections", limit)
        self._see_to_accepting()

    @property
    def dropMaxConnection(self) -> bool:
        """Whether to drop excess connections even if other processes could take them. Can be set."""
        return self._drops_too_many

    @dropMaxConnection.setter
    def dropMaxConnection(self, drops: bool) -> None:
        self._drops_too_many = drops
        self._see_to_accepting()

    def _share(self) -> None:
        """Note that other processes accept from this socket, too."""
        self._shared = True
        self._see_to_accepting()

    def _see_to_accepting(self) -> None:
        """Start a thread that accepts if somebody wants connections; stop it if not."""
        with lock:
            wanted = bool(self._takers) or any(map(self.listenerCount, self._for_connections))
            wanted = wanted and self._told and self._pauser is None
            wanted = wanted and not (self._shared and self._is_full() and not self._drops_too_many)
            listener = self._listener if wanted and self._accepting is None else None
            stopped = None
            if listener is not None:
                self._accepting = turn = object()
            elif not wanted:
                stopped, self._acceptor, self._accepting = self._acceptor, None, None
        if listener is not None:
            acceptor = newthread(self._accept, listener.sock, turn, name=f"acceptor of {self!r}")
            with lock:
                if self._accepting is turn:
                    self._acceptor = acceptor
                else:
                    stopped = acceptor  # another OS thread stopped it before it was recorded here
        if stopped is not None:
            stopped.cancel()
        self._count()

    def _listeners_changed(self, event: str) -> None:
        if event in self._for_connections and self._told:
            self._see_to_accepting()

    def _accept(self, sock: TCP, turn: object) -> Generator[Any, None, None]:
        yield from sleep(0)  # until the acceptor is recorded, and can be stopped
        while self._accepting is turn:
            try:
                conn = yield from sock.accept()
            except Closed:
                return
            except OSError as error:
                with lock:
                    mine = self._accepting is turn
                    if mine:
                        self._acceptor = self._accepting = None
                self._count()
                if mine:
                    self._later(self._fire, "error", described(error, "accept"))
                return
            yield from self._in_turn(self._accepted, conn)

    def _accepted(self, conn: TCP) -> None:
        if not self._told:
            conn.close()  # the server was closed a moment ago
            return
        drop = self._reason_to_drop(conn)
        if drop is not None:
            conn.close()
            self._fire("drop", drop)
            return
        socket = Socket(self._socket_options)
        socket._hold_back()  # its events come after the listeners of 'connection' have added theirs
        try:
            socket._adopt(conn, True, True, paused=self._pause_on_connect)
            self._took(socket)
            self._welcome(socket)
        finally:
            socket._catch_up()
        if self._shared:
            self._see_to_accepting()

    def _welcome(self, socket: Socket) -> None:
        """Begin with an accepted connection. To be overridden."""
        self._hand_out(socket)

    def _hand_out(self, socket: Socket) -> None:
        with lock:
            taken = False
            while True:  # see threads/lock.py
                if taken or not self._takers:
                    break
                taken = self._takers[0].finish(socket)  # False if it was cancelled, but is still in the line
                del self._takers[0]
        if taken:
            self._see_to_accepting()
        elif self.listenerCount(self._for_connections[0]):
            self._fire(self._for_connections[0], socket)
        elif self._told:
            self._spare.append(socket)
        else:
            socket.destroy()

    def _is_full(self) -> bool:
        return self._max_connections is not None and len(self._sockets) >= self._max_connections

    def _reason_to_drop(self, conn: TCP) -> dict[str, Any] | None:
        """Return the data of 'drop' for an excess or blocked connection; None for a connection that is welcome."""
        peer = conn.remote_address
        blocked = isinstance(peer, tuple) and is_blocked(self._block_list, peer[0])
        if not blocked and not self._is_full():
            return None
        here = conn.local_address
        return {
            "localAddress": host_of(here),
            "localPort": port_of(here),
            "localFamily": family_of(here),
            "remoteAddress": host_of(peer),
            "remotePort": port_of(peer),
            "remoteFamily": family_of(peer),
        }

    @operation
    def accept(self) -> Generator[Any, None, Socket]:
        """Wait for the next connection and return it. It is not emitted. Threads get connections in turn. (Not in Node)

        A cancellation or timeout loses no connection. Raises Closed if the server is closed or was not told to listen;
        the error of listen() if that fails.
        """
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        with lock:
            if self._spare:
                return self._spare.pop(0)
            if self._opening is None:
                raise Closed("the server is not listening")
            wait = Wait(f"accept on {self!r}")
            self._takers.append(wait)
        self._see_to_accepting()
        try:
            socket: Socket = yield from wait.wait()
        except BaseException:
            with lock:
                if wait in self._takers:
                    self._takers.remove(wait)
            if wait.finished and isinstance(wait.result, Socket):
                self._later(self._hand_out, wait.result)
            self._see_to_accepting()
            raise
        return socket

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, Socket]:
        try:
            return (yield from self.accept())
        except Closed:
            raise StopAsyncIteration from None

    def pause(self, msecs: float = 1000) -> Self:
        """Accept nothing for `msecs` milliseconds; connections wait meanwhile. Does nothing while paused. (Luvit)"""
        scheduler = current_scheduler()
        due = scheduler.now() + duration(msecs / 1000)
        with lock:
            if self._listener is None or self._pauser is not None:
                return self
            self._pauser = Timer(scheduler.timers, self._pause_over)
            self._pauser.arm(due)
        self._see_to_accepting()
        return self

    def _pause_over(self) -> None:
        self._pauser = None
        self._count()
        self._later(self._see_to_accepting)

    def _end_pause(self) -> None:
        with lock:
            if self._pauser is not None:
                self._pauser.disarm()
                self._pauser = None

    def ref(self) -> Self:
        """Keep the loop running while the server listens. This is the default."""
        self._referenced = True
        self._count()
        return self

    def unref(self) -> Self:
        """Do not keep the loop running: start() returns when nothing else is left."""
        self._referenced = False
        self._count()
        return self

    def _count(self) -> None:
        scheduler = current_scheduler()
        with lock:
            aside = self._acceptor is not None and not self._referenced
            pauses = self._pauser is not None and not self._referenced
            scheduler.hopeless += aside - self._aside
            scheduler.timers.aside += pauses - self._pauses_aside
            self._aside, self._pauses_aside = aside, pauses

    def _took(self, socket: Socket) -> None:
        """Note an accepted connection. To be overridden."""
