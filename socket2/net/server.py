"""Server: listens, accepts, and counts its connections.

One thread accepts, while there is somebody to take the connections: listeners, or threads in accept(). Until then they
wait in the backlog.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from pollers import Closed, operation

from ..loop import newthread
from ..scheduler import current_scheduler
from ..tcp import TCP
from ..thread import Thread
from ..waiting import sleep
from ..waits import Wait
from .abort import on_abort
from .arguments import SERVER_OPTIONS, listen_arguments, options_of
from .emitter import Emitter
from .endpoints import address_of, family_of, host_of, port_of, text_of
from .failures import described, failure, told
from .ip import is_blocked
from .listening import Listener, checked, look_up, needs_look_up, open_listener
from .socket import Socket

if TYPE_CHECKING:
    from typing import Self

Callback = Callable[..., Any]


class Server(Emitter):
    """Accepts connections: Server([options][, listener of 'connection']).

    Options, as a dictionary or by name: `allowHalfOpen`, `highWaterMark`, `maxBufferSize`, `noDelay`, `keepAlive`,
    `keepAliveInitialDelay`, for its sockets as there; `pauseOnConnect` (False): their reading waits for resume();
    `blockList`: who is dropped. TypeError for others. Events: listening, connection(socket), drop(data), error, close.
    """

    def __init__(self, options: Any = None, listener: Callback | None = None, **named: Any) -> None:
        super().__init__()
        if callable(options):
            options, listener = None, options
        given = options_of(options, named, SERVER_OPTIONS)
        self._paused_sockets = bool(given.pop("pauseOnConnect", False))
        self._blocked = given.pop("blockList", None)
        self._socket_options = given
        self.maxConnections: int | None = None
        """How many connections there may be; more are dropped. None: any number."""
        self.dropMaxConnection = False
        """With a socket that is shared among processes: drop what is too much, instead of leaving it to the others."""
        self._listener: Listener | None = None
        self._opening: object | None = None  # the listen() that is under way, or has succeeded
        self._told = False  # 'listening' was emitted
        self._sockets: set[Socket] = set()
        self._acceptor: Thread | None = None
        self._pauser: Thread | None = None
        self._takers: list[Wait] = []
        self._spare: list[Socket] = []  # accepted for somebody who has left
        self._referenced = True
        self._aside = False
        self._close_wanted = False
        self._close_told = False  # since the last listen()
        self._closers: list[tuple[Callback, BaseException | None]] = []
        self._stop_obeying: Callable[[], None] | None = None
        if listener is not None:
            self.on("connection", listener)

    # Listening.

    def listen(self, *args: Any, **named: Any) -> Self:
        """Listen: listen([port[, host]][, backlog]), listen(path[, backlog]), listen(handle[, backlog]), or options.

        A function at the end listens to 'listening' once. Options, as a dictionary or by name: port, host, backlog
        (511), path, exclusive, ipv6Only, reusePort, readableAll, writableAll, fd, handle, signal. Without a host: "::"
        for both IPv4 and IPv6, or "0.0.0.0" where there is no IPv6; without a port: a free one. A handle, which is a
        socket or a Server, is duplicated; a descriptor is taken over. What goes wrong is an 'error' in a later turn,
        after which listen() may be called again; TypeError and RangeError come at once, and RuntimeError while it
        listens.
        """
        given, callback = listen_arguments(args, named)
        options = checked(given)
        if self._opening is not None or self._listener is not None:
            message = "Listen method has been called more than once without closing."
            raise told(RuntimeError(message), code="ERR_SERVER_ALREADY_LISTEN")
        if callback is not None:
            self.once("listening", callback)
        if options.get("signal") is not None:
            self._stop_obeying = on_abort(options["signal"], self.close)
        self._opening = opening = object()
        self._close_told = False
        if options.get("signal") is not None and options["signal"].aborted:
            self._later(self.close)
        elif needs_look_up(options):
            self._later(newthread, self._look_up, options, opening)
        else:
            self._open(options, opening)
        return self

    def _look_up(self, options: dict[str, Any], opening: object) -> Generator[Any, None, None]:
        try:
            host = yield from look_up(options["host"])
        except OSError as error:
            if self._opening is opening:
                self._failed(error, opening)
            return
        if self._opening is opening:
            self._open({**options, "host": host}, opening)

    def _open(self, options: dict[str, Any], opening: object) -> None:
        try:
            self._listener = open_listener(options)
        except OSError as error:
            self._later(self._failed, error, opening)
        else:
            self._later(self._opened, opening)

    def _opened(self, opening: object) -> None:
        if self._opening is opening:
            self._told = True
            self._fire("listening")
            self._see_to_accepting()

    def _failed(self, error: OSError, opening: object) -> None:
        if self._opening is opening:
            self._opening = None
            self._obey_no_more()
            takers, self._takers = self._takers, []
            for wait in takers:
                wait.fail(error)
            if self.listenerCount("error") or not takers:
                self._fire("error", error)

    def _obey_no_more(self) -> None:
        stop, self._stop_obeying = self._stop_obeying, None
        if stop is not None:
            stop()

    @property
    def listening(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    def address(self) -> dict[str, Any] | str | None:
        """Return {"address", "family", "port"}, or the path; None before 'listening' and after close()."""
        if self._listener is None or not self._told:
            return None
        return address_of(self._listener.name())

    def fileno(self) -> int:
        """The descriptor, -1 when it does not listen. (Ours)"""
        return self._listener.sock.fileno() if self._listener is not None else -1

    # Accepting.

    def _see_to_accepting(self) -> None:
        """Have a thread accept if there is somebody to accept for, and none if not."""
        wanted = self._told and self._pauser is None and bool(self._takers or self.listenerCount("connection"))
        if wanted and self._acceptor is None and self._listener is not None:
            self._acceptor = newthread(self._accept, self._listener.sock, name=f"acceptor of {self!r}")
        elif not wanted and self._acceptor is not None:
            acceptor, self._acceptor = self._acceptor, None
            acceptor.cancel()
        self._count()

    def _listeners_changed(self, event: str) -> None:
        if event == "connection" and self._told:
            self._see_to_accepting()

    def _accept(self, sock: TCP) -> Generator[Any, None, None]:
        yield from sleep(0)  # the one who starts it has to know of it before it can be stopped
        while True:
            try:
                conn = yield from sock.accept()
            except Closed:
                return
            except OSError as error:
                self._acceptor = None
                self._count()
                self._fire("error", described(error, "accept"))
                return
            self._accepted(conn)

    def _accepted(self, conn: TCP) -> None:
        drop = self._reason_to_drop(conn)
        if drop is not None:
            conn.close()
            self._fire("drop", drop)
            return
        socket = Socket({**self._socket_options, "handle": conn, "pauseOnCreate": self._paused_sockets})
        socket.server = self
        self._sockets.add(socket)
        self._hand_out(socket)

    def _hand_out(self, socket: Socket) -> None:
        if self._takers:
            self._takers.pop(0).finish(socket)
            self._see_to_accepting()
        elif self.listenerCount("connection"):
            self._fire("connection", socket)
        else:
            self._spare.append(socket)

    def _reason_to_drop(self, conn: TCP) -> dict[str, Any] | None:
        """What is told of a connection that is too much or unwanted; None for one that is welcome."""
        peer = conn.remote_address
        blocked = (
            self._blocked is not None
            and isinstance(peer, tuple)
            and self._blocked.check(peer[0], f"ipv{isIP(peer[0])}")
        )
        full = self.maxConnections is not None and len(self._sockets) >= self.maxConnections
        if not blocked and not full:
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
        """Take the next connection, which is not emitted then. Threads get them in the order they have asked. (Ours)

        Cancelled or out of time: no connection is lost. Raises Closed when the server is closed, or has not been told
        to listen; the error when that fails.
        """
        if self._spare:
            return self._spare.pop(0)
        if self._opening is None:
            raise Closed("the server does not listen")
        wait = Wait(f"accept on {self!r}")
        self._takers.append(wait)
        self._see_to_accepting()
        try:
            socket: Socket = yield from wait.wait()
        except BaseException:
            if wait in self._takers:
                self._takers.remove(wait)
            elif wait.finished and isinstance(wait.result, Socket):
                self._hand_out(wait.result)
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
        """Accept nothing for `msecs` milliseconds; connections wait meanwhile. While paused: no effect. (Luvit)"""
        if self._listener is not None and self._pauser is None:
            self._pauser = newthread(self._unpause_after, msecs / 1000, name=f"pause of {self!r}")
            self._see_to_accepting()
        return self

    def _unpause_after(self, seconds: float) -> Generator[Any, None, None]:
        yield from sleep(seconds)
        self._pauser = None
        self._see_to_accepting()

    # Counting.

    @property
    def connections(self) -> int | None:
        """How many connections there are; None once one was given to another process."""
        return len(self._sockets)

    def getConnections(self, callback: Callable[[BaseException | None, int], Any]) -> Self:
        """Call `callback(error, count)` in a later turn: how many connections there are."""
        self._later(self._tell_connections, callback)
        return self

    def _tell_connections(self, callback: Callable[..., Any]) -> None:
        self._call("getConnections", callback, None, len(self._sockets))

    def _left_by(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        self._close_if_drained()

    def ref(self) -> Self:
        """Keep the loop going while it listens, as it does by itself."""
        self._referenced = True
        self._count()
        return self

    def unref(self) -> Self:
        """Do not keep the loop going: start() returns when nothing else is left."""
        self._referenced = False
        self._count()
        return self

    def _count(self) -> None:
        aside = self._acceptor is not None and not self._referenced
        if aside != self._aside:
            self._aside = aside
            current_scheduler().hopeless += 1 if aside else -1

    # The end.

    def close(self, callback: Callable[[BaseException | None], Any] | None = None) -> Self:
        """Stop listening. Connections go on; 'close' comes when the last one is gone, once.

        `callback` is called then with None; with an error if the server was not listening.
        """
        if callback is not None:
            problem = None
            if self._opening is None:
                problem = failure("ERR_SERVER_NOT_RUNNING", "Server is not running.")
            self._closers.append((callback, problem))
        listener, self._listener = self._listener, None
        self._opening = None
        self._told = False
        self._obey_no_more()
        if listener is not None:
            listener.close()
        pauser, self._pauser = self._pauser, None
        if pauser is not None:
            pauser.cancel()
        self._see_to_accepting()
        takers, self._takers = self._takers, []
        for wait in takers:
            wait.fail(Closed("the server was closed"))
        for socket in self._spare:
            socket.destroy()
        self._spare.clear()
        self._close_wanted = True
        self._close_if_drained()
        return self

    def closeAllConnections(self) -> None:
        """Destroy the connections that there are. The server goes on listening."""
        for socket in list(self._sockets):
            socket.destroy()

    def _close_if_drained(self) -> None:
        if self._close_wanted and self._listener is None and not self._sockets:
            self._close_wanted = False
            closers, self._closers = self._closers, []
            self._later(self._closed, closers)

    def _closed(self, closers: list[tuple[Callback, BaseException | None]]) -> None:
        if not self._close_told:
            self._close_told = True
            self._fire("close")
        for callback, problem in closers:
            self._call("close", callback, problem)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        return self
        yield

    @operation
    def __aexit__(self, *_: object) -> Generator[Any, None, None]:
        if self._opening is not None or self._sockets:
            self.close()
            yield from self.wait("close")

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report it; a connection whose listener has failed is nobody's."""
        super()._listener_failed(event, args, error)
        for socket in args:
            if isinstance(socket, Socket):
                socket.destroy()

    def __repr__(self) -> str:
        where = self._listener.name() if self._listener is not None else None
        return f"<net.Server {text_of(host_of(where), port_of(where)) if where is not None else 'closed'}>"
