"""Socket: a TCP or UNIX connection as an event emitter. Its two sides are in readable.py and writable.py.

This module gets the connection, describes it, and closes it when both sides have ended.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self

from pollers import Closed

from ..sockets.tcp import TCP
from ..threads.lock import lock
from ..threads.loop import newthread
from ..threads.thread import Thread
from .abort import AbortError, AbortSignal, on_abort
from .address import address_of, family_of, host_of, port_of, text_of
from .adoption import socket_of, taken_over
from .arguments import (
    CONNECT_OPTIONS,
    SOCKET_OPTIONS,
    checked_count,
    checked_onread,
    connect_arguments,
    options_of,
)
from .connection import Way
from .dialing import Destination, destination, dial
from .failures import failure, told
from .ip import block_list_of
from .lending import Lending
from .readable import HIGH_WATER_MARK
from .wishes import Wishes


class Acceptor(Protocol):
    """What a socket knows of the Server that accepted it."""

    @property
    def listening(self) -> bool: ...
    @property
    def connections(self) -> int | None: ...
    def address(self) -> dict[str, Any] | str | None: ...
    def close(self, callback: Callable[[BaseException | None], Any] | None = None) -> Self: ...
    def _left_by(self, socket: Socket, /) -> None: ...


class Socket(Lending, Wishes):
    """A connection: from the options `fd` or `handle`, made by connect(), or passed to a Server's 'connection'.

    Options, as a dictionary or as keywords: `fd`, with `readable` and `writable` (False), takes over an open
    descriptor; `handle` takes over a socket of socket2 or the standard library; `allowHalfOpen` (False): do not end
    when the peer ends; `highWaterMark` (16384 bytes), `maxBufferSize` (1 MiB, not in Node), `noDelay`, `keepAlive`,
    `keepAliveInitialDelay` (ms), `timeout` (ms), `blockList`, `signal`, `onread` ({"buffer": ..., "callback": ...}).
    Raises TypeError for any other. Events: lookup connect ready data end finish drain timeout error close, pause
    resume, connectionAttempt, connectionAttemptFailed, connectionAttemptTimeout.
    """

    _kind = "net.Socket"

    def __init__(self, options: Mapping[str, Any] | int | None = None, **named: Any) -> None:
        super().__init__()
        if isinstance(options, int):
            options = {"fd": options}
        given = options_of(options, named, SOCKET_OPTIONS)
        mark = given.get("highWaterMark")
        mark = HIGH_WATER_MARK if mark is None else checked_count("highWaterMark", mark)
        self._prepare_reading(mark)
        self._prepare_writing(mark, given)
        self.allowHalfOpen = bool(given.get("allowHalfOpen", False))
        """Whether the writing side stays open after the peer has ended."""
        self.server: Acceptor | None = None
        """The server that accepted this socket, if any."""
        self.autoSelectFamilyAttemptedAddresses: list[str] | None = None
        """The addresses that connect() has tried so far, if there was a choice."""
        self._dialer: Thread[object] | None = None
        self._epoch = 0  # counts connections and their ends, so that late calls recognise that they are late
        self._names: dict[str, tuple[Any, ...] | str] = {}  # addresses, asked for once
        self._never_readable = False
        self._on_close: list[Callable[[], Any]] = []
        self._start_wishing(given)
        if given.get("timeout"):
            self.setTimeout(given["timeout"])
        if given.get("onread") is not None:
            self._onread = checked_onread(given["onread"])
        self._block_list = block_list_of(given)
        self._signal: AbortSignal | None = given.get("signal")
        if self._signal is not None:
            self._obey(self._signal)
        if given.get("fd") is not None:
            self._adopt(taken_over(given["fd"]), bool(given.get("readable")), bool(given.get("writable")))
        elif given.get("handle") is not None:
            self._adopt(socket_of(given["handle"]), True, True, paused=bool(given.get("pauseOnCreate")))

    def _obey(self, signal: AbortSignal) -> None:
        def abort() -> None:
            self.destroy(AbortError(signal.reason))

        self._on_close.append(on_abort(signal, abort))
        if signal.aborted:
            abort()

    # Getting a connection.

    def connect(self, *args: Any, **named: Any) -> Self:
        """Connect: connect(port[, host]), connect(path), or options. A final function listens to 'connect' once.

        Options, as a dictionary or as keywords: port, host ("localhost"), localAddress, localPort, family (0, 4, 6),
        hints, lookup, autoSelectFamily (True), autoSelectFamilyAttemptTimeout (250 ms); or path; and timeout, noDelay,
        keepAlive, keepAliveInitialDelay, blockList. A closed socket may be connected again; its counters start over.
        Raises TypeError and RangeError for invalid arguments, RuntimeError if the socket is connected or connecting.
        Other failures become 'error'.
        """
        options, callback = connect_arguments(args, named, CONNECT_OPTIONS)
        to = destination({"blockList": self._block_list, **options})
        if self.connecting or self._tcp is not None or (self._over and not self.destroyed):
            raise told(RuntimeError(f"{self!r} is connecting or connected"), code="ERR_SOCKET_CONNECTED")
        signal = self._signal
        # If an abort still has to be reported, its state stays.
        if self.destroyed and not (signal is not None and signal.aborted and not self._closed):
            self._start_again()
        if signal is not None and signal.aborted:
            return self.destroy(AbortError(signal.reason))
        self.connecting = True
        self._epoch += 1
        if callback is not None:
            self.once("connect", callback)
        self._wish(options)
        if options.get("timeout"):
            self.setTimeout(options["timeout"])
        elif self._idle_s:
            self._active()
        self._later(self._dial, to, self._epoch)
        return self

    def _start_again(self) -> None:
        self.destroyed = self._over = self._raised = self._complained = self._closed = False
        self._failure = None
        if self._flowing is None and self.listenerCount("data"):
            self._flowing = True
        self._start_reading_over()
        self._start_writing_over()
        self._names = {}
        self.autoSelectFamilyAttemptedAddresses = None
        self._route()
        if self._signal is not None and not self._signal.aborted:
            self._obey(self._signal)

    def _dial(self, to: Destination, epoch: int) -> None:
        if epoch == self._epoch:
            dialer = newthread(self._dialing, to, epoch, name=f"connect of {self!r}")
            if epoch != self._epoch:
                dialer.cancel()  # destroyed by a listener before it was recorded here
            elif self.connecting:
                self._dialer = dialer

    def _dialing(self, to: Destination, epoch: int) -> Generator[Any, None, None]:
        def tell(event: str, *args: Any) -> None:
            if epoch != self._epoch:
                return
            if self._idle_s:
                self._active()
            if event == "connectionAttempt" and to.several and to.path is None:
                attempted = self.autoSelectFamilyAttemptedAddresses or []
                self.autoSelectFamilyAttemptedAddresses = [*attempted, text_of(args[0], args[1])]
            self._soon(event, *args)

        try:
            conn = yield from dial(to, tell)
        except Exception as error:
            if epoch == self._epoch:
                self._dialer = None
                self.destroy(error)
            return
        yield from self._in_turn(self._dialed, conn, epoch)

    def _dialed(self, conn: TCP, epoch: int) -> None:
        if epoch != self._epoch:
            conn.close()
            return
        self._dialer = None
        self._adopt(conn, True, True, told=True)

    def _adopt(self, conn: TCP, readable: bool, writable: bool, paused: bool = False, told: bool = False) -> None:
        """Take a connection. If `told`, emit 'connect'; otherwise start reading in a later turn."""
        handle = conn.handle
        with lock:  # another OS thread's destroy() takes it, too
            if not self.destroyed:
                self._tcp, self._handle = conn, handle
        if self._handle is not handle:
            conn.close()
            return
        self.connecting = False
        self._fulfil_wishes()
        self._never_readable = not readable
        self.readable = readable
        if paused:
            self._flowing = False
        if writable:
            self._connected_for_writing()
        else:
            self.writableEnded = self.writableFinished = self._shut = True
        if told:
            if self._idle_s:
                self._active()
            self._fire("connect")
            if self._handle is handle:
                self._fire("ready")
            self._begin(handle)
        else:
            self._later(self._begin, handle)

    def _begin(self, handle: Way) -> None:
        if self._handle is handle and not self._never_readable and not self._reading and not self._lent:
            self._start_reading(handle)

    # Moving to another process.

    def _give_away(self) -> tuple[int, dict[str, Any]]:
        """Release the connection without closing it; return its descriptor and its state."""
        tcp = self._tcp  # which another OS thread may close, here and below
        if tcp is None or self.destroyed:
            raise failure("ERR_SOCKET_CLOSED", "Socket is closed", errno.EBADF)
        if self.writableLength or self.writableEnded:
            raise failure("ERR_INVALID_HANDLE_TYPE", "a connection that is still sending cannot be given away")
        unread = b"".join(self._chunks).decode("latin-1")
        state = {"unread": unread, "bytesRead": self.bytesRead, "bytesWritten": self.bytesWritten}
        state |= {"allowHalfOpen": self.allowHalfOpen, "paused": self.isPaused()}
        fd = tcp.detach()
        self.destroy()
        return fd, state

    @classmethod
    def _taken_in(cls, conn: TCP, state: Mapping[str, Any]) -> Socket:
        """Make a socket from one that another process gave away."""
        socket = cls(handle=conn, allowHalfOpen=state["allowHalfOpen"], pauseOnCreate=state["paused"])
        socket.bytesRead = state["bytesRead"]
        socket.bytesWritten = state["bytesWritten"]
        if state["unread"]:
            socket._take_in(state["unread"].encode("latin-1"))
        return socket

    # The end.

    def _peer_has_ended(self) -> None:
        if not self.allowHalfOpen:
            self._ended_by_peer = True
            if self._mark_ended():
                self._later(self._start_flushing)
        self._close_if_both_ended()

    def _all_is_sent(self) -> None:
        self._close_if_both_ended()
        self._let_go_if_over()

    def _let_go_if_over(self) -> None:
        """Close the kernel's socket if both sides have ended, even if received data is still unread."""
        if self._eof and self.writableFinished and self._tcp is not None:
            for which in ("getsockname", "getpeername"):
                self._name(which)
            with lock:
                tcp, self._tcp, self._handle = self._tcp, None, None
            if tcp is None:
                return
            self._over = True
            self._reading = False
            self._count()
            tcp.close()
            self._gone()

    def _close_if_both_ended(self) -> None:
        if self.writableFinished and (self.readableEnded or self._never_readable):
            self.destroy()

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        dialer, self._dialer = self._dialer, None
        self._epoch += 1
        if dialer is not None:
            dialer.cancel()
        self._names = {}
        on_close, self._on_close = self._on_close, []
        for call in on_close:
            call()

    def _gone(self) -> None:
        if self.server is not None:
            self.server._left_by(self)

    def resetAndDestroy(self) -> Self:
        """Close the connection with a reset (RST): the peer gets ECONNRESET, and data in flight is lost.

        While connecting, the reset follows as soon as the socket is connected. If it is not connected, this is
        destroy() with ERR_SOCKET_CLOSED. Raises TypeError for a UNIX socket.
        """
        if self.connecting:
            self.once("connect", self.resetAndDestroy)
            return self
        tcp = self._tcp
        if tcp is None:
            return self.destroy(failure("ERR_SOCKET_CLOSED", "Socket is closed", errno.EBADF))
        with suppress(Closed):
            if tcp.family == "unix":
                raise told(TypeError("a UNIX socket cannot be reset"), code="ERR_INVALID_HANDLE_TYPE")
            tcp.setopt("linger", 0)
        return self.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    # Addresses and state.

    def address(self) -> dict[str, Any] | str:
        """Return the local {"address", "family", "port"}, or a UNIX socket's path; {} without a connection."""
        return address_of(self._name("getsockname"))

    def _name(self, which: str) -> Any:
        tcp, names = self._tcp, self._names
        if which not in names and tcp is not None:
            try:
                names[which] = getattr(tcp, which)()
            except OSError:
                return None  # the peer has gone
        return names.get(which)

    @property
    def remoteAddress(self) -> str | None:
        """The peer's IP address or path; None without a connection."""
        return host_of(self._name("getpeername"))

    @property
    def remotePort(self) -> int | None:
        """The peer's port; None without a connection."""
        return port_of(self._name("getpeername"))

    @property
    def remoteFamily(self) -> str | None:
        """ "IPv4" or "IPv6"; None without a connection."""
        return family_of(self._name("getpeername"))

    @property
    def localAddress(self) -> str | None:
        """The local IP address or path; None without a connection."""
        return host_of(self._name("getsockname"))

    @property
    def localPort(self) -> int | None:
        """The local port; None without a connection."""
        return port_of(self._name("getsockname"))

    @property
    def localFamily(self) -> str | None:
        """ "IPv4" or "IPv6"; None without a connection."""
        return family_of(self._name("getsockname"))

    @property
    def pending(self) -> bool:
        """Whether the socket is not connected, or not yet."""
        return self._tcp is None and (not self._over or self.destroyed)

    @property
    def readyState(self) -> str:
        """ "opening", "open", "readOnly", "writeOnly" or "closed"."""
        if self.connecting:
            return "opening"
        if self.readable:
            return "open" if self.writable else "readOnly"
        return "writeOnly" if self.writable else "closed"

    def __repr__(self) -> str:
        where = f" {text_of(self.localAddress, self.localPort)} to {text_of(self.remoteAddress, self.remotePort)}"
        return f"<{self._kind} {self.readyState}{where if self._tcp is not None else ''}>"
