"""The module's contents: names, documentation, addresses, block lists; and its error without pyee."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from socket2 import net
from socket2.net import BlockList, RangeError, SocketAddress

from ..interop.peers import LIMIT_S, ROOT


def public(cls: type) -> dict[str, Any]:
    return {
        name: value
        for parent in cls.__mro__
        if parent.__module__.startswith("socket2.net")
        for name, value in vars(parent).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }


@pytest.mark.parametrize("name", [name for name in net.__all__ if name != "Stream"])
def test_every_name_is_documented(name: str) -> None:
    value = getattr(net, name)
    assert value.__doc__
    if inspect.isclass(value):
        assert not [method for method, function in public(value).items() if not inspect.getdoc(function)]


def test_every_name_is_in_the_page() -> None:
    page = (ROOT / "docs" / "net.md").read_text()
    names = set(net.__all__) | {name for cls in (net.Server, net.Socket, BlockList) for name in public(cls)}
    assert not [name for name in sorted(names) if name not in page]


def test_stream_is_another_name_of_socket() -> None:
    assert net.Stream is net.Socket


def test_create_connection_is_connect() -> None:
    assert net.createConnection is net.connect


PROGRAM_WITHOUT_PYEE = """
import sys
sys.modules["pyee"] = None
import socket2
socket2.run(lambda: None)
try:
    from socket2 import net
except ImportError as error:
    print(error)
"""


def test_without_pyee_the_core_works_and_net_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM_WITHOUT_PYEE], cwd=ROOT, capture_output=True, timeout=LIMIT_S, text=True
    )
    assert done.stderr == ""
    assert "pip install 'socket2[net]'" in done.stdout


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("127.0.0.1", 4),
        ("0.0.0.0", 4),
        ("255.255.255.255", 4),
        ("256.1.1.1", 0),
        ("1.2.3", 0),
        ("01.2.3.4", 0),
        ("::", 6),
        ("::1", 6),
        ("fe80::1%eth0", 6),
        ("::ffff:1.2.3.4", 6),
        ("2001:db8:::1", 0),
        ("", 0),
        ("localhost", 0),
        ("127.0.0.1 ", 0),
        (None, 0),
        (0, 0),
        (127, 0),
        (b"127.0.0.1", 0),
        ({}, 0),
    ],
)
def test_is_ip(text: Any, version: int) -> None:
    assert net.isIP(text) == version
    assert net.isIPv4(text) is (version == 4)
    assert net.isIPv6(text) is (version == 6)


# SocketAddress.


def test_a_socket_address_has_defaults() -> None:
    four, six = SocketAddress(), SocketAddress(family="ipv6")
    assert (four.address, four.family, four.port, four.flowlabel) == ("127.0.0.1", "ipv4", 0, 0)
    assert (six.address, six.family) == ("::", "ipv6")


def test_a_socket_address_from_a_dictionary() -> None:
    address = SocketAddress({"address": "::1", "family": "ipv6", "port": 80, "flowlabel": 7})
    assert (address.address, address.family, address.port, address.flowlabel) == ("::1", "ipv6", 80, 7)
    assert repr(address) == "SocketAddress([::1]:80)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123.1.2.3:1234", ("123.1.2.3", "ipv4", 1234)),
        ("123.1.2.3", ("123.1.2.3", "ipv4", 0)),
        ("[1::1]:1234", ("1::1", "ipv6", 1234)),
        ("[1::1]", ("1::1", "ipv6", 0)),
        ("1.2.3.4:70000", None),
        ("example.org:80", None),
        ("", None),
    ],
)
def test_a_socket_address_is_parsed(text: str, expected: tuple[str, str, int] | None) -> None:
    address = SocketAddress.parse(text)
    assert expected == (address and (address.address, address.family, address.port))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"port": 65536}, RangeError),
        ({"port": -1}, RangeError),
        ({"address": "x"}, ValueError),
        ({"family": "ip"}, ValueError),
    ],
)
def test_a_socket_address_is_checked(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        SocketAddress(options)


def test_socket_addresses_compare_by_what_they_are() -> None:
    assert SocketAddress(port=1) == SocketAddress({"address": "127.0.0.1", "port": 1})
    assert SocketAddress(port=1) != SocketAddress(port=2)
    assert len({SocketAddress(port=1), SocketAddress(port=1)}) == 1


# BlockList.


def blocks() -> BlockList:
    blocked = BlockList()
    blocked.addAddress("123.123.123.123")
    blocked.addRange("10.0.0.1", "10.0.0.10")
    blocked.addSubnet("8592:757c:efae:4e45::", 64, "ipv6")
    blocked.addAddress(SocketAddress(address="5.5.5.5"))
    return blocked


@pytest.mark.parametrize(
    ("address", "type", "blocked"),
    [
        ("123.123.123.123", "ipv4", True),
        ("123.123.123.124", "ipv4", False),
        ("10.0.0.1", "ipv4", True),
        ("10.0.0.10", "ipv4", True),
        ("10.0.0.11", "ipv4", False),
        ("8592:757c:efae:4e45:1::1", "ipv6", True),
        ("8592:757c:efae:4e46::1", "ipv6", False),
        ("::ffff:123.123.123.123", "ipv6", True),
        ("::ffff:7b7b:7b7b", "ipv6", True),
        ("::ffff:1.2.3.4", "ipv6", False),
        ("5.5.5.5", "ipv4", True),
        ("no address", "ipv4", False),
        (SocketAddress(address="10.0.0.5"), "ipv4", True),
    ],
)
def test_a_block_list(address: Any, type: str, blocked: bool) -> None:
    assert blocks().check(address, type) is blocked


def test_the_rules_of_a_block_list_as_text() -> None:
    assert blocks().rules == [
        "Address: IPv4 5.5.5.5",
        "Subnet: IPv6 8592:757c:efae:4e45::/64",
        "Range: IPv4 10.0.0.1-10.0.0.10",
        "Address: IPv4 123.123.123.123",
    ]
    assert blocks().size == 4


@pytest.mark.parametrize("form", [list, json.dumps])
def test_the_rules_of_a_block_list_there_and_back(form: Any) -> None:
    copy = BlockList()
    copy.fromJSON(form(blocks().toJSON()))
    assert copy.rules == blocks().rules
    copy.clear()
    assert copy.rules == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda blocked: blocked.addAddress("x"), "Expected 4 octets"),
        (lambda blocked: blocked.addAddress("::1"), "Expected 4 octets"),
        (lambda blocked: blocked.addRange("10.0.0.2", "10.0.0.1"), "comes after"),
        (lambda blocked: blocked.addSubnet("10.0.0.0", 33), "10.0.0.0/33"),
        (lambda blocked: blocked.fromJSON(["nonsense"]), "not a rule"),
    ],
)
def test_a_block_list_is_checked(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(BlockList())


def test_what_is_a_block_list() -> None:
    assert BlockList.isBlockList(BlockList())
    assert not BlockList.isBlockList({})
