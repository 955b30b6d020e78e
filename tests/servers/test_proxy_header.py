"""Headers of the PROXY protocol, in pieces of any size, and what is refused."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from socket2 import ProxyHeader
from socket2.servers.networks import Networks
from socket2.servers.proxyheader import HeaderParser, MalformedHeader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def binary(family: int, rest: bytes = b"", *, command: int = 0x21, protocol: int = 1, size: int | None = None) -> bytes:
    size = len(rest) if size is None else size
    return SIGNATURE + struct.pack("!BBH", command, family << 4 | protocol, size) + rest


def extra(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


V4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack("!HH", 51234, 443)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(15) + b"\x01" + struct.pack("!HH", 5, 6)
PATHS = b"/run/a".ljust(108, b"\x00") + b"\x00b".ljust(108, b"\x00")

FROM_V4 = ProxyHeader(("192.0.2.1", 51234), ("198.51.100.7", 443))
FROM_V6 = ProxyHeader(("2001:db8::1", 5, 0, 0), ("::1", 6, 0, 0))
LONGEST = b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n"

GOOD: list[tuple[bytes, ProxyHeader]] = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 51234 443\r\n", FROM_V4),
    (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", ProxyHeader(("1.1.1.1", 1), ("1.1.1.1", 1))),
    (b"PROXY TCP6 2001:db8::1 ::1 5 6\r\n", FROM_V6),
    (b"PROXY TCP6 :: :: 0 0\r\n", ProxyHeader(("::", 0, 0, 0), ("::", 0, 0, 0))),
    (LONGEST, ProxyHeader(("ffff:" * 7 + "ffff", 65535, 0, 0), ("ffff:" * 7 + "ffff", 65535, 0, 0))),
    (b"PROXY UNKNOWN\r\n", ProxyHeader()),
    (b"PROXY UNKNOWN whatever 1 2 3\r\n", ProxyHeader()),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", ProxyHeader()),
    (binary(1, V4), FROM_V4),
    (binary(2, V6), FROM_V6),
    (binary(3, PATHS), ProxyHeader("/run/a", "\x00b")),
    (binary(1, V4, protocol=2), ProxyHeader()),
    (binary(0, protocol=0), ProxyHeader()),
    (binary(0, b"\xff" * 50, command=0x20), ProxyHeader()),
    (binary(15, command=0x20, protocol=15), ProxyHeader()),
    (binary(0, extra(0x04, bytes(9)), protocol=0), ProxyHeader()),
    (
        binary(1, V4 + extra(0x20, b"\x01" * 40) + extra(2, b"ex\xc3\xa4mple.org") + extra(1, b"h2") + extra(4, b"")),
        ProxyHeader(FROM_V4.source, FROM_V4.destination, "ex\xe4mple.org", "h2"),
    ),
    (binary(1, V4 + extra(0x04, bytes(4096 - 15))), FROM_V4),
]

BAD: list[bytes] = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"PROXY\r\n\r\n\r\n\r\n\r\n",
    b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n\n\n",
    b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.256 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 01.1.1.1 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n" + b" " * 8,
    b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP6 ::1%lo ::1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n",
    b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN a\rb\r\n",
    b"PROXY UNKNOWN a\x00b\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    binary(1, V4, command=0x11),
    binary(1, V4, command=0x22),
    binary(1, V4, command=0x31),
    binary(4, V4),
    binary(1, V4, protocol=3),
    binary(1, V4[:-1]),
    binary(2, V4),
    binary(3, V6),
    binary(1, V4 + b"\x04\x00"),
    binary(1, V4 + b"\x04\x00\x02x"),
    binary(1, V4, size=4097),
    binary(1, V4, size=65535),
    SIGNATURE[:-1] + b"\r!\x11\x00\x0c" + V4,
]


def parsed(data: bytes, size: int) -> tuple[ProxyHeader | None, int]:
    """Give a parser pieces of at most `size` bytes. Return the header, and how much was taken."""
    parser = HeaderParser()
    at = 0
    while parser.header is None and at < len(data):
        assert parser.lacks > 0
        piece = data[at : at + min(size, parser.lacks)]
        at += len(piece)
        parser.add(piece)
    return parser.header, at


@pytest.mark.parametrize(("data", "header"), GOOD, ids=range(len(GOOD)))
def test_a_header_in_pieces_and_nothing_behind_it(data: bytes, header: ProxyHeader) -> None:
    for size in [*range(1, 20), 100, len(data), 10_000]:
        assert parsed(data + b"\r\nGET \x16\x03", size) == (header, len(data))
    for cut in range(len(data)):
        assert parsed(data[:cut], 10_000)[0] is None


def test_a_line_takes_few_receives() -> None:
    parser = HeaderParser()
    data = b"PROXY TCP4 192.168.100.100 192.168.200.200 56324 443\r\n"
    receives = 0
    while parser.header is None:
        piece, data = data[: parser.lacks], data[parser.lacks :]
        parser.add(piece)
        receives += 1
    assert receives < 12


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_is_no_header(data: bytes) -> None:
    for size in (1, 2, 15, 10_000):
        with pytest.raises(MalformedHeader):
            parsed(data, size)


def test_another_protocol_is_refused_at_its_first_bytes() -> None:
    for data in (b"G", b"\x16", b"PR" + b"I", b"\r\n\r\nG"):
        with pytest.raises(MalformedHeader):
            HeaderParser().add(data)


def test_networks() -> None:
    import ipaddress

    networks = Networks(["10.0.0.0/8", "::1", ipaddress.ip_network("192.0.2.0/24"), "unix"])
    trusted: list[Any] = [
        ("10.1.2.3", 5),
        ("::1", 5, 0, 0),
        ("::ffff:10.1.2.3", 5, 0, 0),
        ("192.0.2.9", 1),
        "",
        b"\x00a",
    ]
    assert all(address in networks for address in trusted)
    others: list[Any] = [("11.1.2.3", 5), ("::2", 5, 0, 0), ("::ffff:11.0.0.1", 5, 0, 0), ("10.0.0.1.", 5), ("", 5)]
    assert not any(address in networks for address in others)
    assert ("fe80::1%eth0", 5, 0, 2) in Networks(["fe80::/10"])
    assert "" not in Networks(["10.0.0.0/8"])
    for given, error in ((["10.0.0.1/8"], ValueError), (["localhost"], ValueError), ("10.0.0.0/8", TypeError)):
        with pytest.raises(error):
            Networks(given)
