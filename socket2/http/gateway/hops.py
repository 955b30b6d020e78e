"""What of a head goes on to the next hop, and what a proxy adds: RFC 9110, 7.6, RFC 7239, without I/O.

Fields that concern one connection stay behind, with all that Connection names. Framing is written anew by whoever sends
the message, so two servers cannot read it in two ways. What clients say about earlier hops is dropped, unless they are
trusted proxies.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, cast

from ...sockets.address import SocketAddress
from ..messages.fields import elements
from ..messages.heads import RequestHead, ResponseHead
from ..messages.outgoing import Written

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

# The sides write these themselves.
_FRAMING = frozenset((b"content-length", b"expect", b"host"))
_OF_REQUESTS = HOP_BY_HOP | _FRAMING
_OF_RESPONSES = HOP_BY_HOP | {b"content-length"}

# Trailers are no place for what decides about a message or its sender. RFC 9110, 6.5.1.
_NOT_IN_TRAILERS = (
    _OF_REQUESTS
    | {b"authorization", b"cache-control", b"content-encoding", b"content-range", b"content-type", b"cookie"}
    | {b"set-cookie", b"via", b"www-authenticate"}
)

# Clients and servers repeat themselves. What becomes of larger heads is not kept.
_KEPT_MAX = 1024

Pairs = list[tuple[bytes, bytes]]


class Hop(NamedTuple):
    """Between whom a request goes on. `believed`: the fields in which the peer, a trusted proxy, tells about others.

    `scheme`, `wanted`: the scheme and the host that the client has used.
    """

    peer: bytes
    believed: frozenset[bytes]
    scheme: str
    wanted: bytes
    pseudonym: bytes


def _pairs(block: bytes, dropped: frozenset[bytes]) -> Pairs:
    """Return the fields in the lines of a head that go on. The head has been checked."""
    kept: Pairs = []
    named: list[bytes] = []
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        name = name.lower()
        if name == b"connection":
            named += elements(value)
        elif name not in dropped:
            kept.append((name, value.strip(b" \t")))
    if named:
        kept = [pair for pair in kept if pair[0] not in named]
    return kept


@lru_cache(maxsize=1024)
def node_of(peer: SocketAddress) -> bytes:
    """Return a peer as fields name it."""
    return str(peer[0]).partition("%")[0].encode("ascii", "replace") if isinstance(peer, tuple) else b"unknown"


@lru_cache(maxsize=1024)
def hop_of(peer: SocketAddress, believed: frozenset[bytes], scheme: str, wanted: bytes, pseudonym: bytes) -> Hop:
    """Return between whom a request of a client at this address goes on."""
    return Hop(node_of(peer), believed, scheme, wanted, pseudonym)


def is_about_hops(name: bytes) -> bool:
    """Whether a field tells about earlier hops. Programs that take CGI's names cannot tell "_" from "-"."""
    if b"_" in name:
        name = name.replace(b"_", b"-")
    return name == b"forwarded" or name.startswith(b"x-forwarded-")


def request_fields(head: RequestHead, host: bytes, hop: Hop) -> bytes:
    """Return the lines of the fields of a request for the next hop, with Host, and without its framing."""
    make = _request_fields if len(head.block) < _KEPT_MAX else _request_fields.__wrapped__
    return make(head.block, head.minor, host, hop)


@lru_cache(maxsize=256)
def _request_fields(block: bytes, minor: int, host: bytes, hop: Hop) -> bytes:
    if not hop.believed and len(block) < _KEPT_MAX:
        lines = [_passed_line(line) for line in block.split(b"\r\n")]
        if None not in lines:
            return b"host: %b\r\n%b%b" % (host, b"".join(cast("list[bytes]", lines)), _told(minor, hop))
    return _chosen_fields(block, minor, host, hop)


@lru_cache(maxsize=1024)
def _passed_line(line: bytes) -> bytes | None:
    """Return what becomes of a field of a request, if nobody is believed. None: that depends on what else it says.

    Clients repeat most of their fields, and change a few. This must say the same as _chosen_fields().
    """
    name, colon, value = line.partition(b":")
    name, value = name.lower(), value.strip(b" \t")
    if name == b"connection":
        return b"" if value.lower() == b"keep-alive" else None  # that field never goes on
    return b"" if not colon or name in _OF_REQUESTS or is_about_hops(name) else b"%b: %b\r\n" % (name, value)


@lru_cache(maxsize=1024)
def _told(minor: int, hop: Hop) -> bytes:
    """Return the lines that a proxy adds to a request without fields about hops."""
    return _chosen_fields(b"", minor, b"", hop).removeprefix(b"host: \r\n")


def _chosen_fields(block: bytes, minor: int, host: bytes, hop: Hop) -> bytes:
    pairs = _pairs(block, _OF_REQUESTS)
    earlier: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        if name in hop.believed:
            earlier.setdefault(name, []).append(value)
    lines = [b"host: %b\r\n" % host]
    lines += [b"%b: %b\r\n" % pair for pair in pairs if not is_about_hops(pair[0])]
    peer, scheme, wanted = hop.peer, hop.scheme.encode("ascii"), hop.wanted
    clients = [*earlier.pop(b"x-forwarded-for", ()), peer]
    lines.append(b"x-forwarded-for: %b\r\n" % b", ".join(clients))
    if b"x-forwarded-proto" not in earlier:
        lines.append(b"x-forwarded-proto: %b\r\n" % scheme)
    if b"x-forwarded-host" not in earlier and wanted:
        lines.append(b"x-forwarded-host: %b\r\n" % wanted)
    node = b'"[%b]"' % peer if b":" in peer else peer
    told = [b"for=%b" % node, b"proto=%b" % scheme]
    if wanted:
        told.insert(1, b'host="%b"' % wanted)
    elements_of_forwarded = [*earlier.pop(b"forwarded", ()), b";".join(told)]
    lines.append(b"forwarded: %b\r\n" % b", ".join(elements_of_forwarded))
    lines += [b"%b: %b\r\n" % (name, value) for name, values in earlier.items() for value in values]
    lines.append(b"via: 1.%d %b\r\n" % (minor, hop.pseudonym))
    return b"".join(lines)


def origin_form(head: RequestHead) -> bytes:
    """Return the target as an origin server gets it: a path and query, or "*"."""
    raw = head.raw_target
    if raw.startswith(b"/"):
        return raw
    target = head.target
    return target.path + (b"?" + target.query if target.query or raw.endswith(b"?") else b"")


class Passed(NamedTuple):
    """The fields of a response for the client. `length`: its Content-Length, None without one."""

    written: Written
    length: int | None


def response_fields(head: ResponseHead, pseudonym: bytes) -> Passed:
    """Return the fields of a response for the client, without its framing."""
    make = _passed if len(head.block) < _KEPT_MAX else _passed.__wrapped__
    return make(head.block, head.minor, pseudonym)


@lru_cache(maxsize=256)
def _passed(block: bytes, minor: int, pseudonym: bytes) -> Passed:
    lines = []
    has_date = False
    length = None
    for name, value in _pairs(block, HOP_BY_HOP):
        if name == b"content-length":
            length = int(value)
            continue
        has_date = has_date or name == b"date"
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"via: 1.%d %b\r\n" % (minor, pseudonym))
    return Passed(Written.checked(b"".join(lines), has_date=has_date), length)


def trailer_fields(pairs: Pairs) -> Pairs:
    """Return the trailers that go on."""
    return [pair for pair in pairs if pair[0] not in _NOT_IN_TRAILERS and not is_about_hops(pair[0])]


def interim_fields(head: ResponseHead) -> Pairs:
    """Return the fields of an interim response for the client."""
    return _pairs(head.block, _OF_RESPONSES)


def switched_fields(head: ResponseHead, pseudonym: bytes) -> tuple[str, Pairs]:
    """Return the protocol that a response changes to, and its other fields."""
    kept = _pairs(head.block, _OF_RESPONSES | {b"date"})
    return head.fields.get("upgrade") or "", [*kept, (b"via", b"1.%d %b" % (head.minor, pseudonym))]
