"""The terms of a TLS connection: what it offers and requires, and what it makes of the peer's certificate.

From Node's options. This module knows the layer of TLS, and no events.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from ...streams.transport import ByteStream
from ...tls.layer import TLS
from .arguments import checked_function, seconds_of
from .certificates import certificate_of, chain_of
from .credentials import Choose, SecureContext, context_of, protocols_of
from .failures import no_certificate
from .identity import checkServerIdentity
from .keylog import KeyLog
from .verdict import what_is_wrong


class Terms:
    """The options of one connection, or of all connections of a server."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.is_server = bool(options.get("isServer"))
        self.handshake_s = seconds_of(options)
        self.requests = not self.is_server or bool(options.get("requestCert"))
        self.rejects = options.get("rejectUnauthorized") is not False
        self.alpn = protocols_of(options.get("ALPNProtocols"))
        self.server_name: str | None = options.get("servername")
        """The name of the server, None for that of the host. "": send none."""
        self.session = options.get("session")
        self.host = "localhost"
        """The host that a client connects to."""
        self.where: Mapping[str, Any] = {}
        """The options of the client's connect()."""
        self.credentials = context_of(options)
        self._check_identity = checked_function(options, "checkServerIdentity")
        if self.server_name == "" and self._check_identity is None:
            self._check_identity = checkServerIdentity

    def layer(self, below: ByteStream, *, logs_keys: bool = False) -> tuple[TLS, KeyLog | None]:
        """Return TLS over a byte stream, before the handshake. `logs_keys`: with a log of its secrets."""
        context = self._context_of_its_own() if logs_keys else self._common_context()
        log = KeyLog(context) if logs_keys else None
        return self._layer(below, context), log

    def _common_context(self) -> ssl.SSLContext:
        if self.is_server:
            return self.server_context()
        return self.credentials.for_client(self.alpn, verify=self.rejects, names=self._check_identity is None)

    def _context_of_its_own(self) -> ssl.SSLContext:
        if self.is_server:
            return self.new_server_context()
        return self.credentials.for_one_client(self.alpn, verify=self.rejects, names=self._check_identity is None)

    def _layer(self, below: ByteStream, context: ssl.SSLContext) -> TLS:
        if self.is_server:
            return TLS(below, context, server_side=True, ragged_end=True, handshake_s=self.handshake_s)
        name = self.host if self.server_name is None else self.server_name or None
        rules: dict[str, Any] = {"server_hostname": name, "ragged_end": True, "handshake_s": self.handshake_s}
        if self.session is not None:
            try:
                return TLS(below, context, session=self.session, **rules)
            except ValueError:
                pass  # it is from another context, so there is a full handshake
        return TLS(below, context, **rules)

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server. Overridden by a server that has one for all of its connections."""
        return self.new_server_context()

    def new_server_context(self) -> ssl.SSLContext:
        """Return a context for one connection of a server."""
        return self.credentials.for_server(self.alpn, request=self.requests, reject=self.rejects)

    def objection(self, tls: TLS) -> Exception | None:
        """Return what is wrong with the peer's certificate, after the handshake; None if nothing is."""
        if self.is_server:
            return None if tls.peer_certificate else no_certificate()
        host = self.server_name or self.host
        if not self.rejects:
            context = self.credentials.for_trial(self._check_identity is None)
            error = what_is_wrong(context, chain_of(tls.ssl_object), host)
            if error is not None:
                return error
        if self._check_identity is None or tls.resumed:
            return None
        try:
            found = self._check_identity(host, certificate_of(tls.ssl_object, True))
        except Exception as error:
            return error
        return found if isinstance(found, Exception) else None


class ServerTerms(Terms):
    """The terms of a server: all of its connections have one context, so that sessions can be resumed."""

    def __init__(self, options: Mapping[str, Any], choose: Choose) -> None:
        super().__init__(options)
        self._choose = choose
        self.use(self.credentials)

    def use(self, credentials: SecureContext) -> None:
        """Make the context for new connections."""
        self.credentials = credentials
        self._context = self.new_server_context()

    def new_server_context(self) -> ssl.SSLContext:
        return self.credentials.for_server(self.alpn, request=self.requests, reject=self.rejects, choose=self._choose)

    def server_context(self) -> ssl.SSLContext:
        return self._context
