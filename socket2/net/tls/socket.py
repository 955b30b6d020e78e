"""TLSSocket: a Socket whose data goes through TLS. Its two sides are those of every Socket.

It gets a TCP connection as a Socket does, or from a Socket that lends its own. Then it makes the handshake, and after
that the two sides begin, over the layer of TLS. This module does not know Server.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, Self

from pollers import Closed

from ...sockets.tcp import TCP
from ...streams.transport import ByteStream
from ...threads.lock import lock
from ...threads.loop import newthread
from ...threads.thread import Thread
from ...tls.layer import TLS
from ..arguments import SOCKET_OPTIONS
from ..failures import failure, told
from ..socket import Socket
from .arguments import TLS_SOCKET_OPTIONS, split
from .certificates import chain_of
from .credentials import checked_options
from .failures import explained, hung_up, left_in_the_handshake, too_slow
from .handle import SecureHandle, end
from .keylog import KeyLog
from .peer import Peer
from .terms import Terms


class TLSSocket(Peer, Socket):
    """A connection inside TLS: from tls.connect(), from a Server's 'secureConnection', or TLSSocket(socket, options).

    `socket`: a connected or connecting Socket, which may be a TLSSocket itself. It belongs to this one from then on.
    What it has received and not emitted is taken for TLS. Options, as a dictionary or as keywords: those of Socket;
    `isServer` (False); those of createSecureContext(), or a `secureContext`; `ALPNProtocols`, `handshakeTimeout` (ms),
    `rejectUnauthorized` (True); for a server `requestCert`; for a client `servername`, `session`,
    `checkServerIdentity`. Raises TypeError for any other. Events: those of Socket, secureConnect, secure, session and
    keylog.
    """

    _kind = "tls.TLSSocket"

    def __init__(
        self, socket: Socket | None = None, options: Mapping[str, Any] | Terms | None = None, /, **named: Any
    ) -> None:
        if socket is not None and not isinstance(socket, Socket):
            raise told(TypeError(f"socket must be a net.Socket, not {socket!r}"), code="ERR_INVALID_ARG_TYPE")
        if isinstance(options, Terms):
            own, self._terms = named, options
        else:
            given = checked_options(options, named, TLS_SOCKET_OPTIONS)
            own, how = split(given, SOCKET_OPTIONS)
            self._terms = Terms(how)
        self._below: Socket | None = None
        self._on_success: Callable[[], object] | None = None  # set by a server
        self._on_failure: Callable[[BaseException], object] | None = None
        self._prompt = own.get("noDelay") is not False
        self._start_securing_over()
        if socket is not None:
            own = {**own, "allowHalfOpen": socket.allowHalfOpen}
        super().__init__(own)
        if own.get("pauseOnCreate"):
            self._flowing = False
        if socket is not None:
            self._stand_on(socket)

    def _start_securing_over(self) -> None:
        """Reset to the state before the first connection."""
        self._securing: Thread[object] | None = None
        self._layered: TLS | None = None  # before its handshake
        self._key_log: KeyLog | None = None
        self._start_knowing_over()

    # The connection below.

    def _stand_on(self, socket: Socket) -> None:
        self._below = socket
        socket._promise()
        socket.once("close", self._below_closed)
        socket.on("error", self.destroy)
        if socket._tcp is not None:
            self._have(socket._tcp)
            self._shake(socket._tcp)
        elif socket.connecting or not socket.destroyed:
            self.connecting = True
            socket.once("connect", self._below_connected)
        else:
            self.destroy()

    def _below_closed(self, _: bool) -> None:
        self.destroy()

    def _below_connected(self) -> None:
        tcp = self._below._tcp if self._below is not None else None
        if tcp is None or self.destroyed:
            return
        self._have(tcp)
        self._fire("connect")
        self._shake(tcp)

    def _have(self, conn: TCP) -> None:
        """Have a connection, whose data does not flow yet."""
        with lock:
            if not self.destroyed:
                self._tcp = conn
        if self._tcp is not conn:
            return
        self.connecting = False
        self.readable = True
        self.writable = not self.writableEnded
        if self._prompt and "noDelay" not in self._wishes:
            self.setNoDelay(True)  # otherwise what follows the handshake may wait for the peer's acknowledgement
        self._fulfil_wishes()
        for which in ("getsockname", "getpeername"):
            self._name(which)  # a handshake that fails closes the connection, and then listeners ask who it was

    def _adopt(self, conn: TCP, readable: bool, writable: bool, paused: bool = False, told: bool = False) -> None:
        self._have(conn)
        if self._tcp is not conn:
            conn.close()
            return
        if told:
            if self._idle_s:
                self._active()
            self._fire("connect")
            if self._tcp is conn:
                self._fire("ready")
        self._shake(conn)

    def connect(self, *args: Any, **named: Any) -> Self:
        """Connect as Socket.connect() does, and then make the handshake."""
        if self._below is not None:
            raise told(RuntimeError(f"{self!r} has its connection from another socket"), code="ERR_SOCKET_CONNECTED")
        return super().connect(*args, **named)

    def _start_again(self) -> None:
        super()._start_again()
        self._start_securing_over()

    def _layer(self) -> ByteStream:
        tls = self._tls
        if tls is None or self.secureConnecting:
            raise Closed
        return tls

    def _give_away(self) -> tuple[int, dict[str, Any]]:
        raise failure("ERR_INVALID_HANDLE_TYPE", "a TLS connection cannot be given away: its keys are in this process")

    # The handshake.

    def _shake(self, conn: TCP) -> None:
        if self._tcp is conn:
            self._later(self._start_securing, conn)

    def _start_securing(self, conn: TCP) -> None:
        if self._tcp is conn and self._securing is None:
            securing = newthread(self._secure, conn, name=f"TLS handshake of {self!r}")
            if self._tcp is conn and self.secureConnecting:
                self._securing = securing

    def _secure(self, conn: TCP) -> Generator[Any, None, None]:
        try:
            below: ByteStream = conn
            received = b""
            if self._below is not None:
                if isinstance(self._below, TLSSocket) and self._below.secureConnecting:
                    yield from self._below.wait("secure")
                below, received = yield from self._below._lend()
            tls, self._key_log = self._terms.layer(below, logs_keys=bool(self.listenerCount("keylog")))
            self._layered = tls
            if received:
                tls.feed(received)
            yield from tls.handshake()
        except Closed:
            return  # destroyed
        except Exception as error:
            yield from self._in_turn(self._handshake_failed, error, conn)
        else:
            yield from self._in_turn(self._handshake_made, tls, conn)

    def _handshake_failed(self, error: Exception, conn: TCP) -> None:
        if self._tcp is not conn:
            return
        self._securing = None
        self._tell_keys()
        layered, self._layered = self._layered, None
        sent = 0
        if layered is not None:
            error = getattr(layered.ssl_object, "refusal", error)  # an error of SNICallback
            sent = len(chain_of(layered.ssl_object))
        reported: BaseException | None = error
        if isinstance(error, ssl.SSLEOFError):
            reported = None if self._terms.is_server else left_in_the_handshake(self._terms.where)
        elif isinstance(error, TimeoutError) and error.errno is None:
            reported = too_slow()
        elif isinstance(error, OSError):
            reported = explained(error, "read", sent)
            if isinstance(error, ssl.SSLCertVerificationError):
                self.authorizationError = error.code  # type: ignore[attr-defined]
        if self._on_failure is not None:
            self._on_failure(reported or hung_up())
        self.destroy(reported)

    def _handshake_made(self, tls: TLS, conn: TCP) -> None:
        if self._tcp is not conn:
            tls.close()
            return
        self._securing = self._layered = None
        self._tell_keys()
        if self._tcp is not conn:
            return
        handle = SecureHandle(tls)
        objection = self._get_to_know(tls)
        if objection is not None and self._terms.rejects:
            if self._on_failure is not None:
                self._on_failure(objection)
            self.destroy(objection)
            return
        with lock:
            if not self.destroyed:
                self._handle = handle
        self.secureConnecting = False
        self._expect_sessions()
        events = ("secure",) if self._terms.is_server else ("secureConnect", "secure")
        for event in events:
            if self._handle is handle:
                self._fire(event)
            if event == "secureConnect" and self._handle is handle:
                self._tell_session_of_handshake()
        if self._on_success is not None and self._handle is handle:
            self._on_success()
        if self._handle is handle:
            self._connected_for_writing()
            self._begin(handle)

    def _tell_keys(self) -> None:
        log, self._key_log = self._key_log, None
        for line in [] if log is None else log.lines():
            self._fire("keylog", line)

    # The end.

    def _described(self, error: OSError, syscall: str) -> OSError:
        return explained(error, syscall)

    def _direct_way(self, handle: Any) -> Callable[[Any, int], int] | None:
        return self._send_record

    def _send_record(self, data: bytes, _: int) -> int:
        handle = self._handle
        if not isinstance(handle, SecureHandle):
            raise BlockingIOError
        if handle.send_now(data):  # the rest of the record leaves before anything else does
            self._send = None
            self._queue.append(b"")
            self._start_flushing()
        return len(data)

    def _send_the_end(self, tcp: TCP) -> None:
        newthread(self._say_goodbye, tcp, name=f"end of {self!r}")

    def _say_goodbye(self, tcp: TCP) -> Generator[Any, None, None]:
        with suppress(OSError):  # the peer has gone: a read will report it
            if (tls := self._tls) is not None:
                yield from end(tls)
        self._later(self._emit_finish, tcp)

    def _leave(self, error: BaseException | None) -> None:
        super()._leave(error)
        securing, self._securing = self._securing, None
        if securing is not None:
            securing.cancel()
        if self._key_log is not None:
            self._key_log.lines()
        self._on_success = self._on_failure = self._tls = self._layered = None  # they lead back here

    def _gone(self) -> None:
        super()._gone()
        below, self._below = self._below, None
        if below is not None:
            below.removeListener("error", self.destroy)
            below.removeListener("close", self._below_closed)
            below.destroy()
