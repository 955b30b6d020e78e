"""setoption() and getoption(): each option, the values it takes, and those it refuses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from socket2 import luasocket
from socket2.luasocket import options

from ..interop.peers import LIMIT_S, refusing_port
from ..machine import needs_ipv6
from .face import Do, Pair

BOOLEANS = [
    ("tcp", "keepalive"),
    ("tcp", "reuseaddr"),
    ("tcp", "reuseport"),
    ("tcp", "tcp-nodelay"),
    ("udp", "broadcast"),
    ("udp", "dontroute"),
    ("udp", "reuseaddr"),
    ("udp", "reuseport"),
    ("udp", "ip-multicast-loop"),
    ("udp6", "ipv6-multicast-loop"),
    ("unix", "keepalive"),
    ("unix", "reuseaddr"),
]
NUMBERS = [
    ("tcp", "tcp-keepidle", 17),
    ("tcp", "tcp-keepcnt", 5),
    ("tcp", "tcp-keepintvl", 19),
    ("udp", "ip-multicast-ttl", 7),
    ("udp6", "ipv6-multicast-hops", 7),
    ("udp6", "ipv6-unicast-hops", 9),
]


def make(kind: str) -> Any:
    """Return an object that already has a socket of the system."""
    makers: dict[str, Any] = {
        "tcp": luasocket.tcp4,
        "udp": luasocket.udp4,
        "udp6": luasocket.udp6,
        "unix": luasocket.unix.stream,
    }
    made = makers[kind]()
    try:
        made._open({"udp6": "inet6", "unix": "unix"}.get(kind, "inet"))
    except OSError as error:
        pytest.skip(f"this machine has no {kind}: {error}")
    return made


@pytest.mark.parametrize(("kind", "name"), BOOLEANS)
def test_a_boolean(kind: str, name: str) -> None:
    with make(kind) as sock:
        for value in (True, False, True):
            assert sock.setoption(name, value) == (1, None)
            assert sock.getoption(name) == (value, None)
        for wrong in (1, 0, "true", None):
            with pytest.raises(TypeError, match="boolean expected"):
                sock.setoption(name, wrong)


@pytest.mark.parametrize(("kind", "name", "value"), NUMBERS)
def test_a_number(kind: str, name: str, value: int) -> None:
    with make(kind) as sock:
        assert sock.setoption(name, value) == (1, None)
        assert sock.getoption(name) == (value, None)
        for wrong in ("5", 5.5, True, None):
            with pytest.raises(TypeError, match="number expected"):
                sock.setoption(name, wrong)


@pytest.mark.parametrize("name", ["recv-buffer-size", "send-buffer-size"])
@pytest.mark.parametrize("kind", ["tcp", "udp", "unix"])
def test_a_buffer_size(kind: str, name: str) -> None:
    with make(kind) as sock:
        assert sock.setoption(name, 20_000) == (1, None)
        size, err = sock.getoption(name)
        assert err is None
        assert size >= 20_000  # Linux doubles it


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_linger(kind: str) -> None:
    with make(kind) as sock:
        assert sock.setoption("linger", {"on": True, "timeout": 3}) == (1, None)
        assert sock.getoption("linger") == ({"on": True, "timeout": 3}, None)
        assert sock.setoption("linger", {"on": False, "timeout": 0.5}) == (1, None)
        assert sock.getoption("linger")[0]["on"] is False
        with pytest.raises(TypeError, match="dict expected"):
            sock.setoption("linger", 3)
        incomplete: Any
        for incomplete in ({}, {"on": 1, "timeout": 1}, {"timeout": 1}):
            with pytest.raises(TypeError, match="bool 'on' field expected"):
                sock.setoption("linger", incomplete)
        for incomplete in ({"on": True}, {"on": True, "timeout": "1"}):
            with pytest.raises(TypeError, match="int 'timeout' field expected"):
                sock.setoption("linger", incomplete)


@needs_ipv6
def test_ipv6_only() -> None:
    with luasocket.tcp6() as tcp, luasocket.udp6() as udp:
        for sock in (tcp, udp):
            assert sock.getoption("ipv6-v6only") == (True, None), "remembered"
            sock._open("inet6")
            assert sock.getoption("ipv6-v6only") == (True, None)
            assert sock.setoption("ipv6-v6only", False) == (1, None)
            assert sock.getoption("ipv6-v6only") == (False, None)
    with make("tcp") as sock:
        assert sock.setoption("ipv6-v6only", True) == (None, "setsockopt failed")
        assert sock.getoption("ipv6-v6only") == (None, "getsockopt failed")


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="this system cannot bind to a device")
def test_bindtodevice() -> None:
    with make("tcp") as sock:
        assert sock.getoption("bindtodevice") == ("", None)
        assert sock.setoption("bindtodevice", "no-such0") == (None, "setsockopt failed")
        if sock.setoption("bindtodevice", "lo") == (1, None):
            assert sock.getoption("bindtodevice") == ("lo", None)
        with pytest.raises(TypeError, match="string expected"):
            sock.setoption("bindtodevice", 1)


@pytest.mark.parametrize("name", ["tcp-defer-accept", "tcp-fastopen", "tcp-fastopen-connect"])
def test_what_can_only_be_set(name: str) -> None:
    with make("tcp") as sock:
        result = sock.setoption(name, 1)
        has_it = hasattr(socket, name.upper().replace("-", "_"))
        assert result == ((1, None) if has_it else (None, "setsockopt failed"))
        with pytest.raises(ValueError, match="unsupported option"):
            sock.getoption(name)


async def test_multicast(do: Do) -> None:
    group = {"multiaddr": "239.255.13.1", "interface": "127.0.0.1"}
    with luasocket.udp4() as receiver, luasocket.udp4() as sender:
        assert await do(receiver.setsockname, "*", 0) == (1, None)
        assert receiver.setoption("ip-add-membership", group) == (1, None)
        assert receiver.setoption("ip-add-membership", group) == (None, "setsockopt failed")
        assert await do(sender.setsockname, "127.0.0.1", 0) == (1, None)
        assert sender.setoption("ip-multicast-if", "127.0.0.1") == (1, None)
        assert sender.getoption("ip-multicast-if") == ("127.0.0.1", None)
        assert sender.setoption("ip-multicast-loop", True) == (1, None)
        port = receiver.getsockname()[1]
        assert await do(sender.sendto, b"to all", "239.255.13.1", port) == (6, None)
        receiver.settimeout(LIMIT_S)
        assert (await do(receiver.receivefrom))[:2] == (b"to all", "127.0.0.1")
        assert receiver.setoption("ip-drop-membership", group) == (1, None)
        assert receiver.setoption("ip-drop-membership", group) == (None, "setsockopt failed")
        assert sender.setoption("ip-multicast-if", "*") == (1, None)
        assert sender.getoption("ip-multicast-if") == ("0.0.0.0", None)


@needs_ipv6
def test_multicast_of_ipv6() -> None:
    with make("udp6") as sock:
        group = {"multiaddr": "ff02::1:7", "interface": socket.if_nametoindex("lo")}
        assert sock.setoption("ipv6-add-membership", group) == (1, None)
        assert sock.setoption("ipv6-drop-membership", group) == (1, None)
        assert sock.setoption("ipv6-drop-membership", {"multiaddr": "ff02::1:7"})[0] is None
        for wrong in ({"multiaddr": "ff02::1:7", "interface": "lo"}, {"interface": 1}):
            with pytest.raises(TypeError, match="field expected"):
                sock.setoption("ipv6-add-membership", wrong)
        with pytest.raises(TypeError, match="ip expected"):
            sock.setoption("ipv6-add-membership", {"multiaddr": "127.0.0.1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip-multicast-if", "localhost"),
        ("ip-multicast-if", 1),
        ("ip-add-membership", "239.255.13.1"),
        ("ip-add-membership", {"multiaddr": "239.255.13.1"}),
        ("ip-add-membership", {"multiaddr": "nonsense", "interface": "*"}),
        ("ip-drop-membership", {"multiaddr": "239.255.13.1", "interface": "nonsense"}),
    ],
)
def test_what_is_no_group_raises(name: str, value: Any) -> None:
    with make("udp") as sock, pytest.raises(TypeError, match="expected"):
        sock.setoption(name, value)


@pytest.mark.parametrize("kind", ["tcp", "udp", "unix"])
def test_an_unknown_option_raises(kind: str) -> None:
    with make(kind) as sock:
        with pytest.raises(ValueError, match="unsupported option 'no-such-option'"):
            sock.setoption("no-such-option", True)
        with pytest.raises(ValueError, match="unsupported option 'no-such-option'"):
            sock.getoption("no-such-option")
        with pytest.raises(TypeError, match="string expected"):
            sock.setoption(None, True)
        with pytest.raises(TypeError, match="string expected"):
            sock.getoption(1)
        with pytest.raises(ValueError, match="unsupported option"):
            sock.setoption("error", None)


def test_each_option_is_tested_here() -> None:
    tested = {name for _, name in BOOLEANS} | {name for _, name, _ in NUMBERS}
    tested |= {"recv-buffer-size", "send-buffer-size", "linger", "ipv6-v6only", "bindtodevice"}
    tested |= {"tcp-defer-accept", "tcp-fastopen", "tcp-fastopen-connect", "ip-multicast-if"}
    tested |= {f"{ip}-{what}-membership" for ip in ("ip", "ipv6") for what in ("add", "drop")}
    assert tested == options.settable("tcp") | options.settable("udp") | options.settable("unix")


async def test_set_before_there_is_a_socket_it_is_remembered(do: Do, pair: Pair) -> None:
    with luasocket.tcp() as client:
        assert client.getoption("tcp-nodelay") == (None, "getsockopt failed")
        assert client.setoption("tcp-nodelay", True) == (1, None)
        assert client.getoption("tcp-nodelay") == (True, None)
        assert client.getfd() == -1
        assert await do(client.connect, "127.0.0.1", refusing_port()) == (None, "connection refused")
        assert client.getoption("tcp-nodelay") == (True, None)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert await do(client.connect, *listener.getsockname()) == (1, None)
            assert client.getoption("tcp-nodelay") == (True, None), "and on the next socket too"


def test_of_a_closed_object(pair: Pair) -> None:
    pair.client.close()
    assert pair.client.setoption("keepalive", True) == (None, "setsockopt failed")
    assert pair.client.getoption("keepalive") == (None, "getsockopt failed")
    assert pair.client.getoption("error") == (None, "getsockopt failed")


def test_no_error_is_none(pair: Pair) -> None:
    assert pair.client.getoption("error") == (None, None)
