"""IP addresses: which texts are some, addresses as objects, and lists of those that are not let through."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from .arguments import checked_port
from .failures import told

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def isIP(text: Any) -> int:
    """Return 4 or 6 when `text` is an IP address, in IPv6 with or without a zone; else, whatever it is, 0."""
    if not isinstance(text, str):
        return 0
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def isIPv4(text: Any) -> bool:
    """Return whether `text` is an IPv4 address: four decimal numbers, none with a leading zero."""
    return isIP(text) == 4


def isIPv6(text: Any) -> bool:
    """Return whether `text` is an IPv6 address, with or without a zone."""
    return isIP(text) == 6


def family_name(address: str) -> str:
    """Return "IPv4" or "IPv6"."""
    return "IPv6" if ":" in address else "IPv4"


class SocketAddress:
    """An IP address and a port, which do not change. RangeError for a port, ValueError for an address that is none."""

    __slots__ = ("_address", "_flowlabel", "_port")

    def __init__(
        self,
        options: dict[str, Any] | None = None,
        *,
        address: str | None = None,
        family: str | None = None,
        port: int | str = 0,
        flowlabel: int = 0,
    ) -> None:
        if options is not None:
            self.__init__(**options)  # type: ignore[misc]
            return
        family = (family or "ipv4").lower()
        if family not in ("ipv4", "ipv6"):
            raise ValueError(f"a family is 'ipv4' or 'ipv6', not {family!r}")
        self._address = _ip(address if address is not None else "127.0.0.1" if family == "ipv4" else "::", family)
        self._port = checked_port(port)
        self._flowlabel = flowlabel

    @property
    def address(self) -> str:
        """The address as text."""
        return str(self._address)

    @property
    def family(self) -> str:
        """ "ipv4" or "ipv6"."""
        return f"ipv{self._address.version}"

    @property
    def port(self) -> int:
        """The port, 0 for none."""
        return self._port

    @property
    def flowlabel(self) -> int:
        """The flow label, of IPv6 only."""
        return self._flowlabel

    @classmethod
    def parse(cls, text: str) -> SocketAddress | None:
        """Return the address in "1.2.3.4:80", "[::1]:80", or without a port; None when there is none in it."""
        host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
        host = host.removeprefix("[").removesuffix("]")
        try:
            return cls(address=host, family=f"ipv{isIP(host)}", port=port or 0)
        except ValueError:
            return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SocketAddress):
            return NotImplemented
        return (self._address, self._port) == (other._address, other._port)

    def __hash__(self) -> int:
        return hash((self._address, self._port))

    def __repr__(self) -> str:
        host = f"[{self.address}]" if self._address.version == 6 else self.address
        return f"SocketAddress({host}:{self.port})"


class BlockList:
    """Addresses that are not to be connected to, or accepted from: one by one, by ranges, by subnets.

    A type is "ipv4", by default, or "ipv6". An IPv4 address that is written as an IPv6 one ("::ffff:1.2.3.4") is what
    it stands for. ValueError for what is no address of its type.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[str, Any]] = []

    def addAddress(self, address: str | SocketAddress, type: str = "ipv4") -> None:
        """Block one address."""
        ip = _ip(address, type)
        self._add(f"Address: {_kind(ip)} {ip}", (ip, ip))

    def addRange(self, start: str | SocketAddress, end: str | SocketAddress, type: str = "ipv4") -> None:
        """Block all addresses from `start` to `end`, both included. ValueError when they are the wrong way round."""
        first, last = _ip(start, type), _ip(end, type)
        if first.version != last.version or int(first) > int(last):
            raise told(ValueError(f"{start} comes after {end}"), code="ERR_INVALID_ARG_VALUE")
        self._add(f"Range: {_kind(first)} {first}-{last}", (first, last))

    def addSubnet(self, net: str | SocketAddress, prefix: int, type: str = "ipv4") -> None:
        """Block the addresses whose first `prefix` bits are those of `net`. ValueError for too many bits."""
        ip = _ip(net, type)
        network: Network = ipaddress.ip_network(f"{str(ip).split('%')[0]}/{prefix}", strict=False)
        self._add(f"Subnet: {_kind(ip)} {network}", (network[0], network[-1]))

    def check(self, address: str | SocketAddress, type: str = "ipv4") -> bool:
        """Return whether an address is blocked; False for what is no address."""
        try:
            ip = _ip(address, type)
        except ValueError:
            return False
        return self._blocks(ip) or (ip.version == 6 and ip.ipv4_mapped is not None and self._blocks(ip.ipv4_mapped))

    @property
    def rules(self) -> list[str]:
        """The rules as text, the newest first."""
        return [text for text, _ in reversed(self._rules)]

    @property
    def size(self) -> int:
        """How many rules there are."""
        return len(self._rules)

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def toJSON(self) -> list[str]:
        """Return the rules, as fromJSON() takes them."""
        return self.rules

    def fromJSON(self, value: str | Iterable[str]) -> None:
        """Add rules as `rules` has them, or JSON of such a list. ValueError for what is no rule."""
        rules: Iterable[str] = json.loads(value) if isinstance(value, str) else value
        for rule in reversed(list(rules)):
            kind, _, rest = rule.partition(": ")
            family, _, what = rest.partition(" ")
            if kind == "Address":
                self.addAddress(what, family.lower())
            elif kind == "Range":
                start, _, end = what.partition("-")
                self.addRange(start, end, family.lower())
            elif kind == "Subnet":
                net, _, prefix = what.partition("/")
                self.addSubnet(net, int(prefix), family.lower())
            else:
                raise ValueError(f"no rule of a BlockList: {rule!r}")

    @staticmethod
    def isBlockList(value: object) -> bool:
        """Return whether `value` is one."""
        return isinstance(value, BlockList)

    def _add(self, text: str, span: tuple[IP, IP]) -> None:
        self._rules.append((text, span))

    def _blocks(self, ip: IP) -> bool:
        return any(first.version == ip.version and first <= ip <= last for _, (first, last) in self._rules)


def is_blocked(blocked: BlockList | None, address: str) -> bool:
    return blocked is not None and blocked.check(address, f"ipv{isIP(address)}")


def _kind(ip: IP) -> str:
    return f"IPv{ip.version}"


def _ip(address: str | SocketAddress, type: str) -> IP:
    if isinstance(address, SocketAddress):
        return address._address
    if not isinstance(address, str):
        raise told(TypeError(f"an address is text, not {address!r}"), code="ERR_INVALID_ARG_TYPE")
    kinds = {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}
    kind = kinds.get(type.lower())
    if kind is None:
        raise told(ValueError(f"no IP address: {address!r} ({type})"), code="ERR_INVALID_ADDRESS")
    try:
        return kind(address)  # type: ignore[return-value]
    except ValueError as error:
        raise told(error, code="ERR_INVALID_ADDRESS") from None
