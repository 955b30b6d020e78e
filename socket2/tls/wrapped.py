"""OpenSSL's connection, without the ssl.SSLObject around it while nobody needs that: it is memory, and costs time.

This module knows the `ssl` module, and that an SSLObject only passes calls on. It must not know what is called when.
"""

from __future__ import annotations

import ssl
from typing import Any

from .ciphertext import Ciphertext


class Wrapped(Ciphertext):
    """A connection of OpenSSL over two buffers. `_ssl` is what an SSLObject wraps."""

    __slots__ = ("_object", "_server_name", "_ssl")

    def __init__(
        self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None, session: ssl.SSLSession | None
    ) -> None:
        super().__init__()
        made = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname, session)
        self._object: ssl.SSLObject | None = made
        self._server_name: str | None = None  # without an SSLObject: what the client has asked for
        self._ssl: Any = getattr(made, "_sslobj", made)

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The ssl.SSLObject. After a handshake of TLS 1.3, it is made again when somebody asks for it."""
        made = self._object
        if made is None:
            made = ssl.SSLObject.__new__(ssl.SSLObject)
            made._sslobj = self._ssl  # type: ignore[attr-defined]
            if self._server_name is not None:
                made.server_name = self._server_name  # type: ignore[attr-defined]
            self._ssl.owner = self._object = made
        return made

    def _unwrap(self) -> None:
        """Free the SSLObject, unless the program has noted something there.

        Not in TLS 1.2: at a renegotiation, OpenSSL asks the context for the name again, which gets the SSLObject. A
        callback for OpenSSL's messages, which is for debugging and private, gets it with each message.
        """
        made = self._object
        if type(made) is not ssl.SSLObject or made.version() != "TLSv1.3":
            return
        if getattr(made.context, "_msg_callback", None) is not None:
            return
        if {"_sslobj"} <= vars(made).keys() <= {"_sslobj", "server_name"}:
            self._server_name = getattr(made, "server_name", None)  # see reloading.choose_by_name()
            self._object = None
