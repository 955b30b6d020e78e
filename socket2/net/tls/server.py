"""Server: accepts connections, and emits those whose handshake has succeeded. It does not know how a handshake is made.

The event 'connection' has the socket below, before the handshake, as in Node. A program may emit it itself, with a
Socket from elsewhere.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import SERVER_OPTIONS
from ..failures import told
from ..server import Server as PlainServer
from ..socket import Socket
from .arguments import TLS_SERVER_OPTIONS, checked_function, split
from .credentials import CONTEXT_OPTIONS, SecureContext, checked_options, context_of, createSecureContext
from .failures import hung_up, unavailable
from .socket import TLSSocket
from .terms import ServerTerms

HANDSHAKE_TIMEOUT = 120_000
"""The default limit for a handshake, in milliseconds."""


class Server(PlainServer):
    """Accepts TLS connections: Server([options][, listener of 'secureConnection']).

    Options, as a dictionary or as keywords: those of net.Server; those of createSecureContext(), or a `secureContext`;
    `ALPNProtocols`; `requestCert` (False): ask clients for a certificate; `rejectUnauthorized` (True): refuse those
    that have none; `SNICallback`; `handshakeTimeout` (120000 ms). Raises TypeError for any other. Events: those of
    net.Server, secureConnection(tlsSocket), tlsClientError(error, tlsSocket), keylog(line, tlsSocket).
    """

    _kind = "tls.Server"
    _for_connections = ("secureConnection", "tlsClientError")

    def __init__(self, options: Any = None, listener: Callable[..., Any] | None = None, **named: Any) -> None:
        if callable(options):
            options, listener = None, options
        given = checked_options(options, named, TLS_SERVER_OPTIONS)
        own, how = split(given, SERVER_OPTIONS)
        self._choose = checked_function(how, "SNICallback")
        self._contexts: list[tuple[re.Pattern[str], ssl.SSLContext]] = []
        self._terms = ServerTerms({"handshakeTimeout": HANDSHAKE_TIMEOUT, **how, "isServer": True}, self._name_asked)
        super().__init__(own)
        self.on("connection", self._secure)
        if listener is not None:
            self.on("secureConnection", listener)

    # Contexts.

    def setSecureContext(self, options: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Use another certificate for new connections. Existing ones keep theirs. Raises as createSecureContext()."""
        self._terms.use(context_of(checked_options(options, named, CONTEXT_OPTIONS | {"secureContext"})))

    def addContext(self, hostname: str, context: SecureContext | Mapping[str, Any]) -> None:
        """Use this context, or these options of one, for clients that ask for `hostname`. "*" is for one label.

        The context has the certificate, and the authorities for those of clients. The last match counts.
        """
        if not isinstance(hostname, str):
            raise told(TypeError(f"hostname must be a str, not {hostname!r:.80}"), code="ERR_INVALID_ARG_TYPE")
        if not hostname:
            raise told(ValueError("hostname must be a name"), code="ERR_TLS_REQUIRED_SERVER_NAME")
        made = context if isinstance(context, SecureContext) else createSecureContext(context)
        pattern = re.compile("[^.]*".join(map(re.escape, hostname.split("*"))))
        self._contexts.append((pattern, self._of_name(made)))

    def _of_name(self, context: SecureContext) -> ssl.SSLContext:
        return context.for_name(self._terms.alpn, self._terms.requests, self._terms.rejects)

    def _name_asked(self, ssl_object: Any, name: str | None, _: ssl.SSLContext) -> int | None:
        """Choose the context for a name. OpenSSL calls this in the handshake."""
        ssl_object.server_name = name
        if not name:
            return None
        if self._choose is None:
            found = [context for pattern, context in self._contexts if pattern.fullmatch(name)]
            if found:
                ssl_object.context = found[-1]
            return None
        answers: list[tuple[Any, Any]] = []
        try:
            self._choose(name, lambda error, context=None: answers.append((error, context)))
            if not answers:
                raise unavailable("wait for SNICallback: it must call back before it returns")
            error, context = answers[0]
            if error is not None:
                raise error if isinstance(error, BaseException) else RuntimeError(str(error))
            if context is not None:
                ssl_object.context = self._of_name(context)
        except Exception as failed:
            ssl_object.refusal = failed
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    def getTicketKeys(self) -> bytes:
        """Raise NotImplementedError."""
        raise unavailable("read the keys of session tickets")

    def setTicketKeys(self, keys: bytes) -> None:
        """Raise NotImplementedError."""
        raise unavailable("set the keys of session tickets: processes that share a port do not resume each other's")

    # Connections.

    def _own_options(self) -> dict[str, Any]:
        """Return the options of a Socket that concern its two sides, and not the connection below."""
        names = ("highWaterMark", "maxBufferSize", "noDelay")
        own = {name: self._socket_options[name] for name in names if name in self._socket_options}
        return {**own, "pauseOnCreate": self._pause_on_connect}

    def _welcome(self, socket: Socket) -> None:
        self._fire("connection", socket)

    def _secure(self, raw: Socket) -> None:
        secured = TLSSocket(raw, self._terms, **self._own_options())
        secured.server = self
        if self.listenerCount("keylog"):
            secured.on("keylog", lambda line: self._fire("keylog", line, secured))
        _Handshake(self, secured)


class _Handshake:
    """How a server waits for the handshake of one socket, and tells once how it has ended."""

    __slots__ = ("_server", "_socket")

    def __init__(self, server: Server, socket: TLSSocket) -> None:
        self._server = server
        self._socket: TLSSocket | None = socket  # until it has been told
        socket._on_success = self._succeeded
        socket._on_failure = self._failed
        socket.on("error", self._failed)
        socket.once("close", self._closed)

    def _succeeded(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            self._server._hand_out(socket)

    def _failed(self, error: BaseException) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            self._server._fire("tlsClientError", error, socket)

    def _closed(self, _: bool) -> None:
        self._failed(hung_up())
