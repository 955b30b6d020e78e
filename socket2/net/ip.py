"""IP addresses: which texts are addresses, addresses as objects, and lists of blocked ones."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from .arguments import checked_port
from .failures import RangeError, told

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def isIP(text: Any) -> int:
    """Return 4 or 6 if `text` is an IP address (IPv6 with or without a zone); 0 for anything else."""
    if not isinstance(text, str):
        return 0
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def isIPv4(text: Any) -> bool:
    """Return whether `text` is an IPv4 address: four decimal numbers without leading zeros."""
    return isIP(text) == 4


def isIPv6(text: Any) -> bool:
    """Return whether `text` is an IPv6 address, with or without a zone."""
    return isIP(text) == 6


def family_name(address: str) -> str:
    """Return "IPv4" or "IPv6"."""
    return "IPv6" if ":" in address else "IPv4"


class SocketAddress:
    """An IP address and a port; immutable. Raises RangeError if the port is invalid, ValueError if the address is."""

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
        if family is not None and (not isinstance(family, str) or family.lower() not in ("ipv4", "ipv6")):
            wrong = ValueError(f"family must be 'ipv4' or 'ipv6', not {family!r}")
            raise told(wrong, code="ERR_INVALID_ARG_VALUE")
        family = (family or "ipv4").lower()
        self._address = _ip(address if address is not None else "127.0.0.1" if family == "ipv4" else "::", family)
        self._port = checked_port(port)
        self._flowlabel = _whole(flowlabel, "flow label", 2**32 - 1) if family == "ipv6" else 0

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
        """The port; 0 if there is none."""
        return self._port

    @property
    def flowlabel(self) -> int:
        """The flow label; 0 for IPv4."""
        return self._flowlabel

    @classmethod
    def parse(cls, text: str) -> SocketAddress | None:
        """Return the address in "1.2.3.4:80" or "[::1]:80", with or without a port; None for any other text."""
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
    """Addresses not to connect to, and not to accept from: single ones, ranges and subnets.

    A type is "ipv4" (the default) or "ipv6". An IPv4-mapped IPv6 address ("::ffff:1.2.3.4") counts as the IPv4 address,
    in rules and in checks. A zone ("%eth0") is ignored. Raises ValueError if an address is not one of its type.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[str, int, int]] = []

    def addAddress(self, address: str | SocketAddress, type: str = "ipv4") -> None:
        """Block one address."""
        ip = _ip(address, type)
        self._add(f"Address: {_kind(ip)} {_without_zone(ip)}", ip, ip)

    def addRange(self, start: str | SocketAddress, end: str | SocketAddress, type: str = "ipv4") -> None:
        """Block all addresses from `start` to `end`, inclusive. Raises ValueError if `end` comes before `start`."""
        first, last = _ip(start, type), _ip(end, type)
        if first.version != last.version or _number(first) > _number(last):
            raise told(ValueError(f"{start} comes after {end}"), code="ERR_INVALID_ARG_VALUE")
        self._add(f"Range: {_kind(first)} {_without_zone(first)}-{_without_zone(last)}", first, last)

    def addSubnet(self, net: str | SocketAddress, prefix: int, type: str = "ipv4") -> None:
        """Block the addresses whose first `prefix` bits are those of `net`. Raises ValueError for too many bits."""
        ip = _ip(net, type)
        prefix = _whole(prefix, f"prefix of {net}/{prefix}", ip.max_prefixlen)
        network: Network = ipaddress.ip_network(f"{_without_zone(ip)}/{prefix}", strict=False)
        self._add(f"Subnet: {_kind(ip)} {network}", network[0], network[-1])

    def check(self, address: str | SocketAddress, type: str = "ipv4") -> bool:
        """Return whether an address is blocked; False if it is not an address."""
        try:
            number = _number(_ip(address, type))
        except ValueError:
            return False
        return any(first <= number <= last for _, first, last in self._rules)

    @property
    def rules(self) -> list[str]:
        """The rules as text, the newest first."""
        return [text for text, _, _ in reversed(self._rules)]

    @property
    def size(self) -> int:
        """The number of rules."""
        return len(self._rules)

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def toJSON(self) -> list[str]:
        """Return the rules in the form that fromJSON() takes."""
        return self.rules

    def fromJSON(self, value: str | Iterable[str]) -> None:
        """Add rules in the form of `rules`, or as JSON of such a list. Raises ValueError if one is not a rule."""
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
                raise ValueError(f"not a rule of a BlockList: {rule!r}")

    @staticmethod
    def isBlockList(value: object) -> bool:
        """Return whether `value` is a BlockList."""
        return isinstance(value, BlockList)

    def _add(self, text: str, first: IP, last: IP) -> None:
        self._rules.append((text, _number(first), _number(last)))


def block_list_of(options: Mapping[str, Any]) -> BlockList | None:
    """Return the option `blockList`. Raises TypeError if it is not a BlockList."""
    blocked = options.get("blockList")
    if blocked is not None and not isinstance(blocked, BlockList):
        raise told(TypeError(f"blockList must be a BlockList, not {blocked!r}"), code="ERR_INVALID_ARG_TYPE")
    return blocked


def is_blocked(blocked: BlockList | None, address: str) -> bool:
    return blocked is not None and blocked.check(address, f"ipv{isIP(address)}")


def _number(ip: IP) -> int:
    """Return an address as a number, without a zone. IPv4 counts as its IPv4-mapped IPv6 address."""
    return int(ip) | (0xFFFF << 32 if ip.version == 4 else 0)


def _without_zone(ip: IP) -> str:
    return str(ip).partition("%")[0]


def _whole(number: Any, what: str, most: int) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise told(TypeError(f"the {what} must be a number, not {number!r}"), code="ERR_INVALID_ARG_TYPE")
    if not 0 <= number <= most or number != int(number):
        raise told(RangeError(f"the {what} must be from 0 to {most}, not {number!r}"), code="ERR_OUT_OF_RANGE")
    return int(number)


def _kind(ip: IP) -> str:
    return f"IPv{ip.version}"


def _ip(address: str | SocketAddress, type: str) -> IP:
    if isinstance(address, SocketAddress):
        return address._address
    if not isinstance(address, str):
        raise told(TypeError(f"an address must be text, not {address!r}"), code="ERR_INVALID_ARG_TYPE")
    if not isinstance(type, str):
        raise told(TypeError(f"type must be 'ipv4' or 'ipv6', not {type!r}"), code="ERR_INVALID_ARG_TYPE")
    kinds = {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}
    kind = kinds.get(type.lower())
    if kind is None:
        raise told(ValueError(f"type must be 'ipv4' or 'ipv6', not {type!r}"), code="ERR_INVALID_ARG_VALUE")
    try:
        return kind(address)  # type: ignore[return-value]
    except ValueError as error:
        raise told(error, code="ERR_INVALID_ADDRESS") from None
