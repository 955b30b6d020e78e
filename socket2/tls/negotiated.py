"""What the two sides of a TLS stream have agreed on, who the peer is, and where the stream is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sockets.address import SocketAddress
from .carrier import Carrier

if TYPE_CHECKING:
    import ssl


class Negotiated(Carrier):
    """The facts about a TLS stream."""

    __slots__ = ()

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """The ssl.SSLObject, to ask for what this class lacks. Do not read, write or shut down with it."""
        return self._engine.ssl_object

    @property
    def version(self) -> str | None:
        """The version of TLS, such as "TLSv1.3"; None before the handshake."""
        return self.ssl_object.version() if self._ready else None

    @property
    def cipher(self) -> str | None:
        """The name of the cipher suite; None before the handshake."""
        cipher = self.ssl_object.cipher()
        return None if cipher is None else cipher[0]

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides agreed on (ALPN), such as "h2"; None if they have none in common."""
        return self.ssl_object.selected_alpn_protocol()

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """The peer's certificate as ssl.SSLSocket.getpeercert() returns it; None if it has none, {} if not verified."""
        return self.ssl_object.getpeercert() if self._ready else None

    @property
    def server_name(self) -> str | None:
        """The name of the server that the client asked for. On a server, only a server_context() knows it."""
        name = self.ssl_object.server_hostname
        return name if name is not None else getattr(self.ssl_object, "server_name", None)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, for connect(session=...). In TLS 1.3 it comes with the first data from the server."""
        return self.ssl_object.session

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed an earlier session."""
        return bool(self.ssl_object.session_reused)

    @property
    def closed(self) -> bool:
        """Whether this stream, or the byte stream below, was closed."""
        return self._closed or bool(self.sock.closed)

    def fileno(self) -> int:
        """Return the descriptor of the socket below, -1 if there is none (any more)."""
        fd: int = self.sock.fileno()
        return fd

    @property
    def local_address(self) -> SocketAddress:
        """The local address of the socket below. Raises AttributeError if there is no socket."""
        address: SocketAddress = self.sock.local_address
        return address

    @property
    def remote_address(self) -> SocketAddress:
        """The peer's address, from the socket below. Raises as TCP.remote_address does."""
        address: SocketAddress = self.sock.remote_address
        return address
