"""Whom a request comes from, if trusted proxies have passed it on: the client, and the scheme and host that it used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...servers.networks import Networks
from ...sockets.address import SocketAddress
from ..messages.fields import Fields
from ..messages.forwarded import hops_of_forwarded, hops_of_x_forwarded

FORWARDED = "forwarded"
X_FORWARDED = frozenset(("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"))
USUAL = ("x-forwarded-for", "x-forwarded-proto")


class Trust:
    """Which proxies are believed, and in which fields. `proxies`: their addresses and networks.

    Raises ValueError for what is no address, network or such a field, and if Forwarded is to be believed together with
    others: a proxy writes one kind, and passes on what a client has put into the other.
    """

    __slots__ = ("_names", "names", "proxies")

    def __init__(self, proxies: Sequence[Any], fields: Iterable[str] = USUAL) -> None:
        self.proxies = Networks(proxies)
        if isinstance(fields, str):
            fields = (fields,)
        self._names = frozenset(name.lower() for name in fields)
        self.names = frozenset(name.encode("ascii", "replace") for name in self._names)
        if self._names != {FORWARDED} and not (self._names <= X_FORWARDED and "x-forwarded-for" in self._names):
            raise ValueError(
                "trusted_fields must be Forwarded alone, or X-Forwarded-For with or without X-Forwarded-Proto and"
                f" X-Forwarded-Host, not {', '.join(sorted(self._names)) or 'none'}"
            )

    def origin(self, fields: Fields, peer: SocketAddress, scheme: str) -> tuple[SocketAddress, str, bytes | None]:
        """Return the client, the scheme and the host of a request that a trusted peer has passed on.

        The host is None if no proxy names it. Starts with what the peer says, and goes on as long as it is of another
        trusted proxy.
        """
        hops = hops_of_forwarded(fields) if self._names == {FORWARDED} else hops_of_x_forwarded(fields, self._names)
        client, host = peer, None
        for hop in hops:
            scheme = hop.scheme or scheme
            host = hop.host or host
            if hop.client is None:
                break
            client = hop.client
            if client not in self.proxies:
                break
        return client, scheme, host
