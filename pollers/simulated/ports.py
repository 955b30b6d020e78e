"""Which socket of a host has which TCP or UDP port: bind(2), and who gets what arrives.

It knows when two sockets may share a port (socket(7), SO_REUSEADDR and SO_REUSEPORT), and which ports the kernel gives
out by itself. One table of TCP, one of UDP; IPv4 and IPv6 share them, since a socket of :: may receive both.
"""

from __future__ import annotations

import errno
from typing import Any

from ..operation import system_error
from .surroundings import Home

# /proc/sys/net/ipv4/ip_local_port_range
FIRST_FREE, LAST_FREE = 32768, 60999

ANY, ANY6 = "0.0.0.0", "::"


class Ports:
    """The bound sockets of a host, by protocol ("tcp", "udp") and port."""

    def __init__(self, host: Home) -> None:
        self._host = host
        self._table: dict[tuple[str, int], list[Any]] = {}
        self._next = {"tcp": FIRST_FREE, "udp": FIRST_FREE}

    def bind(self, sock: Any, ip: str, port: int) -> int:
        """Give `sock` a port at its address `ip`. Return it. Raises OSError (EADDRINUSE)."""
        if port:
            if any(self._conflict(sock, ip, other) for other in self._table.get((sock.protocol, port), ())):
                raise system_error(errno.EADDRINUSE)
        else:
            port = self._free(sock, ip)
        self._table.setdefault((sock.protocol, port), []).append(sock)
        return port

    def _free(self, sock: Any, ip: str) -> int:
        begin = self._next[sock.protocol]
        for step in range(LAST_FREE - FIRST_FREE + 1):
            port = FIRST_FREE + (begin - FIRST_FREE + step) % (LAST_FREE - FIRST_FREE + 1)
            if (sock.protocol, port) not in self._table:
                self._next[sock.protocol] = port + 1
                return port
        raise system_error(errno.EADDRINUSE)

    def join(self, sock: Any, port: int) -> None:
        """Enter a socket that shares the port of its listener."""
        self._table.setdefault((sock.protocol, port), []).append(sock)

    def leave(self, sock: Any, port: int) -> None:
        """Remove a socket. Its port is free unless others share it."""
        here = self._table.get((sock.protocol, port))
        if here is not None and sock in here:
            here.remove(sock)
            if not here:
                del self._table[sock.protocol, port]

    def at(self, protocol: str, port: int) -> list[Any]:
        """Return the sockets that have the port."""
        return self._table.get((protocol, port), [])

    def all(self, protocol: str) -> list[Any]:
        """Return all bound sockets of a protocol."""
        return [sock for (kind, _), here in self._table.items() if kind == protocol for sock in here]

    def _conflict(self, sock: Any, ip: str, other: Any) -> bool:
        if not _overlap(ip, sock.is_both, other.local[0], other.is_both):
            return False
        if sock.reuses_port and other.reuses_port and sock.host.uid == other.host.uid:
            return bool(other.is_waiting_for_time)
        return not (sock.reuses_address and other.reuses_address and not other.is_listening)

    def listener(self, ip: str, port: int, peer: tuple[str, int]) -> Any:
        """Return the TCP socket that listens for connections to `ip`, None if there is none."""
        found = [
            sock for sock in self.at("tcp", port) if sock.is_listening and score(ip, sock.local[0], sock.is_both) >= 0
        ]
        return choose(found, ip, peer)


def score(ip: str, bound: str, both: bool) -> int:
    """Return how well a socket at the address `bound` fits a packet to `ip`: -1 not at all. `both`: takes IPv4, too."""
    if bound == ip:
        return 3
    if bound == ANY:
        return 2 if ":" not in ip else -1
    if bound == ANY6:
        return 1 if ":" in ip or both else -1
    return -1


def choose(found: list[Any], ip: str, peer: tuple[str, int]) -> Any:
    """Return the best of several sockets. Equal ones share the peers by a hash, as SO_REUSEPORT does."""
    if len(found) <= 1:
        return found[0] if found else None
    best = max(score(ip, sock.local[0], sock.is_both) for sock in found)
    equal = [sock for sock in found if score(ip, sock.local[0], sock.is_both) == best]
    if len(equal) > 1 and all(sock.reuses_port for sock in equal):
        mixed = sum(peer[0].encode()) * 31 + peer[1] * 2654435761
        return equal[(mixed >> 7) % len(equal)]
    return equal[-1]


def _overlap(ip: str, both: bool, other: str, other_both: bool) -> bool:
    if ip == other:
        return True
    six, other_six = ":" in ip, ":" in other
    if six == other_six:
        return ip in (ANY, ANY6) or other in (ANY, ANY6)
    return (six and both and ip == ANY6) or (other_six and other_both and other == ANY6)
