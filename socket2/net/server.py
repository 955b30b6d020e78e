"""Server: its listening socket, the number of its connections, and when it is closed. `accepting` has the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from pollers import Closed, Operation, operation

from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.thread import over_at_once
from .abort import on_abort
from .accepting import Accepting
from .address import address_of, host_of, port_of, text_of
from .arguments import SERVER_OPTIONS, listen_arguments, options_of
from .failures import failure, told
from .opening import Listener, checked, look_up, needs_look_up, open_listener, primary_for
from .socket import Socket

if TYPE_CHECKING:
    from typing import Self

Callback = Callable[..., Any]


class Elsewhere(Protocol):
    """What a server knows of the Channel to another process that may have some of its connections."""

    def once(self, event: str, listener: Callback, /) -> Any: ...
    def count(self, server: Server, /) -> Operation[int]: ...


class Server(Accepting):
    """Accepts connections: Server([options][, listener of 'connection']).

    Options, as a dictionary or as keywords: `allowHalfOpen`, `highWaterMark`, `maxBufferSize`, `noDelay`, `keepAlive`,
    `keepAliveInitialDelay`, as in Socket, for the sockets of the server; `pauseOnConnect` (False): sockets read nothing
    before resume(); `blockList`: peers to drop. Raises TypeError for any other option. Events: listening,
    connection(socket), drop(data), error, close.
    """

    _kind = "net.Server"

    def __init__(self, options: Any = None, listener: Callback | None = None, **named: Any) -> None:
        if callable(options):
            options, listener = None, options
        super().__init__(options_of(options, named, SERVER_OPTIONS))
        self._gave_away = False
        self._channels: list[Elsewhere] = []
        self._close_wanted = False
        self._close_told = False  # since the last listen()
        self._closers: list[tuple[Callback, BaseException | None]] = []
        self._stop_obeying: Callable[[], None] | None = None
        if listener is not None:
            self.on("connection", listener)

    # Listening.

    def listen(self, *args: Any, **named: Any) -> Self:
        """Listen: listen([port[, host]][, backlog]), listen(path[, backlog]), listen(handle[, backlog]), or options.

        A final function becomes a once() listener of 'listening'. Options, as a dictionary or as keywords: port, host,
        backlog (511), path, exclusive, ipv6Only, reusePort, readableAll, writableAll, fd, handle, signal. The default
        host is "::" for both IPv4 and IPv6, or "0.0.0.0" if there is no IPv6. The default port is any free one. A
        handle is a socket or a Server and is duplicated; a descriptor is taken over. Failures become an 'error' in a
        later turn; then listen() may be called again. Raises TypeError and RangeError at once, and RuntimeError if the
        server listens already.
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
        elif needs_look_up(options) or primary_for(options) is not None:
            self._later(newthread, self._find, options, opening)
        else:
            self._open(options, opening)
        return self

    def _find(self, options: dict[str, Any], opening: object) -> Generator[Any, None, None]:
        """Do the parts that wait: look the name up, ask the primary."""
        primary = primary_for(options)
        listener: Listener | None = None
        try:
            if needs_look_up(options):
                options["host"] = yield from look_up(options["host"])
            if primary is not None:
                listener = yield from primary(options)
        except Exception as error:
            self._later(self._failed, error, opening)
            return
        if self._opening is not opening:
            if listener is not None:
                listener.close()
        elif listener is not None:
            self._listener = listener
            self._shared = True
            self._later(self._opened, opening)
        else:
            self._open(options, opening)

    def _open(self, options: dict[str, Any], opening: object) -> None:
        try:
            self._listener = open_listener(options)
        except Exception as error:
            self._later(self._failed, error, opening)
        else:
            self._later(self._opened, opening)

    def _opened(self, opening: object) -> None:
        if self._opening is opening:
            self._told = True
            self._fire("listening")
            self._see_to_accepting()

    def _failed(self, error: Exception, opening: object) -> None:
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
        """Whether the server listens."""
        return self._listener is not None

    def address(self) -> dict[str, Any] | str | None:
        """Return {"address", "family", "port"}, or the path; None before 'listening' and after close()."""
        listener = self._listener
        if listener is None or not self._told:
            return None
        return address_of(listener.name())

    def fileno(self) -> int:
        """Return the descriptor, -1 if the server does not listen. (Not in Node)"""
        listener = self._listener
        return listener.sock.fileno() if listener is not None else -1

    # Counting.

    @property
    def connections(self) -> int | None:
        """How many connections there are; None after one was given to another process."""
        return None if self._gave_away else len(self._sockets)

    def getConnections(self, callback: Callable[[BaseException | None, int], Any]) -> Self:
        """Call `callback(error, count)` in a later turn, with the number of connections in all processes."""
        self._later(self._count_up, callback)
        return self

    def _count_up(self, callback: Callable[..., Any]) -> None:
        if self._channels:
            newthread(self._sum_up, callback)
        else:
            self._call("getConnections", callback, None, len(self._sockets))

    def _sum_up(self, callback: Callable[..., Any]) -> Generator[Any, None, None]:
        total = len(self._sockets)
        for channel in list(self._channels):
            total += yield from channel.count(self)
        self._later(self._call, "getConnections", callback, None, total)

    def _has_some_at(self, channel: Elsewhere, gave_away: bool) -> None:
        """Note that the process at the other end of `channel` has, or may have, connections of this server."""
        if channel not in self._channels:
            self._channels.append(channel)
            channel.once("disconnect", lambda: self._channels.remove(channel))
        if gave_away:
            self._gave_away = True
        else:
            self._share()

    def _took(self, socket: Socket) -> None:
        socket.server = self
        self._sockets[socket] = None

    def _left_by(self, socket: Socket) -> None:
        self._sockets.pop(socket, None)
        self._close_if_drained()
        if self._shared:
            self._see_to_accepting()

    # The end.

    def close(self, callback: Callable[[BaseException | None], Any] | None = None) -> Self:
        """Stop listening. Existing connections continue. 'close' is emitted once, after the last one has closed.

        `callback` is then called with None, or with an error if the server was not listening.
        """
        with lock:
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
        self._end_pause()
        self._see_to_accepting()
        with lock:
            takers, self._takers = self._takers, []
            spare, self._spare = self._spare, []
        for wait in takers:
            wait.fail(Closed("the server was closed"))
        for socket in spare:
            socket.destroy()
        self._close_wanted = True
        self._close_if_drained()
        return self

    def closeAllConnections(self) -> None:
        """Destroy all connections. The server continues to listen."""
        for socket in list(self._sockets):
            socket.destroy()

    def _close_if_drained(self) -> None:
        with lock:
            if not self._close_wanted or self._listener is not None or self._sockets:
                return
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
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        return self

    @operation
    def __aexit__(self, *_: object) -> Generator[Any, None, None]:
        if self._opening is not None or self._sockets:
            self.close()
            yield from self.wait("close")

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report the error. If it belongs to a connection, end that connection."""
        for socket in args:
            if isinstance(socket, Socket):
                socket._listener_failed(event, args, error)
                return
        super()._listener_failed(event, args, error)

    def __repr__(self) -> str:
        listener = self._listener
        where = listener.name() if listener is not None else None
        return f"<{self._kind} {text_of(host_of(where), port_of(where)) if where is not None else 'closed'}>"
