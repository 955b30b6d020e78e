"""What a TLSSocket knows of its connection and its peer: certificates, protocols, sessions.

It is asked by programs, and never waits. This module does not know how the connection came about.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from ...tls.layer import TLS
from ..connection import Connection
from ..failures import failure, told
from .certificates import certificate_of
from .failures import unavailable
from .terms import Terms


class Peer(Connection):
    """The part of a TLSSocket that answers questions."""

    encrypted = True
    """True, unlike in a Socket."""

    _terms: Terms

    def _start_knowing_over(self) -> None:
        """Reset to the state before the first connection."""
        self._tls: TLS | None = None
        self.secureConnecting = True
        """Whether the handshake has not succeeded yet."""
        self.authorized = False
        """Whether the peer has a certificate that is trusted."""
        self.authorizationError: str | None = None
        """What is wrong with the peer's certificate, in Node's words; None if nothing is, or nothing was required."""
        self.alpnProtocol: str | bool | None = None
        """The protocol that both sides agreed on; False if there is none; None before the handshake."""
        self.servername: str | bool | None = None
        """The name of the server that the client has sent; False if it has not; None before the handshake."""

    def _get_to_know(self, tls: TLS) -> Exception | None:
        """Note what the handshake has brought. Return what is wrong with the peer's certificate, if it needs one."""
        self._tls = tls
        self.alpnProtocol = tls.alpn or False
        self.servername = tls.server_name or False
        if not self._terms.requests:
            return None
        objection = self._terms.objection(tls)
        self.authorized = objection is None
        if objection is not None:
            self.authorizationError = getattr(objection, "code", None) or str(objection)
        return objection

    def _expect_sessions(self) -> None:
        """Emit 'session' for those that come after the handshake, if somebody listens."""
        tls = self._tls
        if tls is not None and not self._terms.is_server and self.listenerCount("session"):
            tls.watch_sessions(self._session_came)

    def _session_came(self, session: ssl.SSLSession) -> None:
        self._later(self._tell_session, session)

    def _tell_session(self, session: ssl.SSLSession) -> None:
        if not self.destroyed:
            self._fire("session", session)

    def _tell_session_of_handshake(self) -> None:
        """Before TLS 1.3, a session comes with the handshake."""
        tls = self._tls
        if tls is not None and tls.version != "TLSv1.3" and tls.session is not None and not tls.resumed:
            self._tell_session(tls.session)

    def _listeners_changed(self, event: str) -> None:
        super()._listeners_changed(event)
        if event == "session" and not self.secureConnecting:
            self._expect_sessions()

    @property
    def _ssl(self) -> ssl.SSLObject | None:
        tls = self._tls
        return None if tls is None or self.destroyed else tls.ssl_object

    def getPeerCertificate(self, detailed: bool = False) -> dict[str, Any] | None:
        """Return the peer's certificate, {} if it has sent none; None before the handshake and after the end.

        It has subject, issuer, subjectaltname, valid_from, valid_to, serialNumber, fingerprint, fingerprint256,
        fingerprint512, infoAccess, and raw (DER). `detailed`: also issuerCertificate, as far as the peer has sent it.
        """
        known = self._ssl
        return None if known is None else certificate_of(known, detailed)

    def getCipher(self) -> dict[str, str] | None:
        """Return the cipher suite: name, version, and in TLS 1.3 standardName; None if there is no connection."""
        known = self._ssl
        cipher = None if known is None else known.cipher()
        if cipher is None:
            return None
        name, version, _ = cipher
        found = {"name": name, "version": version}
        return {"standardName": name, **found} if name.startswith("TLS_") else found

    def getProtocol(self) -> str | None:
        """Return the version of TLS, such as "TLSv1.3"; None if there is no connection."""
        known = self._ssl
        return None if known is None else known.version()

    def getSession(self) -> ssl.SSLSession | None:
        """Return the session, for the option `session`; None before there is one. In Node it is a Buffer.

        A connection resumes it if its secureContext is the same, or the options that make one are equal.
        """
        known = self._ssl
        return None if known is None else known.session

    def isSessionReused(self) -> bool:
        """Return whether the handshake has resumed a session."""
        known = self._ssl
        return bool(known is not None and known.session_reused)

    def getTLSTicket(self) -> None:
        """Raise NotImplementedError: use getSession()."""
        raise unavailable("show session tickets: use getSession()")

    def setServername(self, name: str) -> None:
        """Set the name that the server's certificate must have. It is sent to the server (SNI), unless it is "".

        Raises RuntimeError on a server, and after the handshake has begun.
        """
        if not isinstance(name, str):
            raise told(TypeError(f"name must be text, not {name!r}"), code="ERR_INVALID_ARG_TYPE")
        if self._terms.is_server:
            raise told(RuntimeError("Cannot issue SNI from a TLS server-side socket"), code="ERR_TLS_SNI_FROM_SERVER")
        if self._tls is not None:
            raise told(RuntimeError("the handshake has begun"), code="ERR_TLS_INVALID_STATE")
        self._terms.server_name = name

    def setSession(self, session: ssl.SSLSession) -> None:
        """Resume a session, as the option `session` does. Has no effect after the handshake has begun."""
        self._terms.session = session

    def disableRenegotiation(self) -> None:
        """Do nothing: there is no renegotiation."""

    def renegotiate(self, options: Any = None, callback: Callable[[BaseException], Any] | None = None) -> bool:
        """Return False, and give `callback` an error later: renegotiation is not safe, and not in TLS 1.3."""
        if callback is not None:
            error = failure("ERR_TLS_RENEGOTIATION_DISABLED", "TLS session renegotiation disabled for this socket")
            self._later(self._call, "renegotiate", callback, error)
        return False
