"""What TCP and UDP sockets have in common: local and remote address, the rules of bind(2), and options of numeric."""

from __future__ import annotations

import errno
import socket
from typing import Any

from . import numeric
from .description import AF_INET, AF_INET6, Description, fail
from .numeric import Endpoint
from .surroundings import Home

SOL_SOCKET = socket.SOL_SOCKET
_REUSEADDR = (SOL_SOCKET, socket.SO_REUSEADDR)
_REUSEPORT = (SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 15))
_V6ONLY = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_V6ONLY", 26))


class Inet(Description):
    """A socket with an IP address and a port."""

    is_waiting_for_time = False  # TIME_WAIT

    def __init__(self, host: Home, family: int) -> None:
        super().__init__(host)
        self.family = family
        self.local: Endpoint = ("0.0.0.0" if family == AF_INET else "::", 0)
        self.remote: Endpoint | None = None
        self.has_port = False
        self.chose_address = False  # bind(2) was called with an address
        self.chose_port = False  # bind(2) was called with a port

    @property
    def is_both(self) -> bool:
        """Whether an IPv6 socket takes IPv4, too."""
        return self.family == AF_INET6 and not self.options.get(_V6ONLY)

    @property
    def reuses_address(self) -> bool:
        return bool(self.options.get(_REUSEADDR))

    @property
    def reuses_port(self) -> bool:
        return bool(self.options.get(_REUSEPORT))

    def name(self) -> Any:
        return numeric.shown(self.family, self.local)

    def peername(self) -> Any:
        if self.remote is None:
            fail(errno.ENOTCONN)
        return numeric.shown(self.family, self.remote)

    def bind(self, address: Any) -> None:
        ip, port = numeric.endpoint(self.family, address, "bind")
        if not numeric.fits(self.family, ip, not self.is_both and ip != "::"):
            fail(errno.EADDRNOTAVAIL if ":" not in ip else errno.EINVAL)
        if self.has_port or not self.may_bind():
            numeric.check_local(self.host, ip)
            fail(errno.EINVAL)
        numeric.check_local(self.host, ip)
        if 0 < port < 1024 and self.host.uid:
            fail(errno.EACCES)
        self.take_port(ip, port)
        self.chose_address = ip not in ("0.0.0.0", "::")
        self.chose_port = bool(port)

    def may_bind(self) -> bool:
        return True

    def take_port(self, ip: str, port: int = 0) -> None:
        """Enter the socket in the table of ports; 0: any free one. Raises OSError (EADDRINUSE)."""
        self.local = (ip, self.host.ports.bind(self, ip, port))
        self.has_port = True

    def leave_port(self) -> None:
        if self.has_port:
            self.has_port = False
            self.host.ports.leave(self, self.local[1])

    def target(self, address: Any, call: str) -> Endpoint:
        """Return where to send or connect to. Raises OSError, and as endpoint()."""
        ip, port = numeric.endpoint(self.family, address, call)
        if ip == "0.0.0.0":
            ip = "127.0.0.1"
        elif ip == "::":
            ip = "::1" if self.local[0] == "::" or ":" in self.local[0] else "127.0.0.1"
        if not numeric.fits(self.family, ip, not self.is_both):
            fail(errno.ENETUNREACH)
        if self.family == AF_INET6 and self.chose_address and (":" in ip) != (":" in self.local[0]):
            fail(errno.ENETUNREACH if ":" not in ip else errno.EINVAL)
        return ip, port

    def source(self, ip: str) -> str:
        """Return the local address for packets to `ip`. Raises OSError (ENETUNREACH)."""
        if self.local[0] not in ("0.0.0.0", "::"):
            return self.local[0]
        found = self.host.source_for(ip)
        if found is None:
            fail(errno.ENETUNREACH)
        return found

    def describe(self) -> str:
        there = f" to {text_of(self.remote)}" if self.remote is not None else ""
        return f"{self.protocol} {text_of(self.local)}{there}"


def text_of(here: Endpoint) -> str:
    """Return an address for people."""
    return f"[{here[0]}]:{here[1]}" if ":" in here[0] else f"{here[0]}:{here[1]}"
