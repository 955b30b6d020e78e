"""Which peers are trusted: addresses and networks, such as those of the load balancers in front of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..sockets.address import SocketAddress

if TYPE_CHECKING:
    import ipaddress

UNIX = "unix"


class Networks:
    """Addresses and networks: "10.0.0.0/8", "::1", an ipaddress object, or "unix" for peers at a UNIX path.

    Raises TypeError for a str in place of several, ValueError for what is no address or network.
    """

    __slots__ = ("_known", "_networks", "_unix")

    def __init__(self, given: Iterable[Any]) -> None:
        import ipaddress  # only a few servers need it

        if isinstance(given, (str, bytes)):
            raise TypeError(f"addresses and networks come in a list, not as {given!r}")
        self._unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._known: dict[str, bool] = {}  # the latest answers
        for one in given:
            if one == UNIX:
                self._unix = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(one))
            except ValueError as error:
                raise ValueError(f"not an address or a network: {one!r} ({error})") from None

    def __contains__(self, address: SocketAddress) -> bool:
        """Whether this is the address of a trusted peer, in the form of the standard library."""
        return self.has_host(str(address[0])) if isinstance(address, tuple) else self._unix

    def has_host(self, host: str) -> bool:
        """Whether an IP address is trusted. Text that is none is not. IPv4 inside IPv6 counts as IPv4."""
        found = self._known.get(host)
        if found is None:
            if len(self._known) > 1000:
                self._known.clear()
            found = self._known[host] = self._look_up(host)
        return found

    def _look_up(self, host: str) -> bool:
        address = ip_address(host)
        return address is not None and any(address in network for network in self._networks)


def ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address without its zone, None if it is not one. IPv4 inside IPv6 becomes IPv4."""
    import ipaddress

    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
