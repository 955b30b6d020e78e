"""Addresses: the values that a caller may give for a host and a port, and lookups that block."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import pytest

import socket2
from socket2 import Address, AddressList, addr, newthread
from socket2.threads import osthreads

from ..interop.peers import LIMIT_S, run

NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80))]  # a documentation address (RFC 5737)


def at_once(*args: Any, **kwargs: Any) -> AddressList:
    """Look up a name, and check that this needed neither a wait nor an OS thread."""

    async def main() -> AddressList:
        before = threading.enumerate()
        asking = newthread(lambda: asking_for(*args, **kwargs))
        waited = not asking.done or threading.enumerate() != before
        found: AddressList = await asking.join()
        assert not waited
        return found

    return run(main)


def asking_for(*args: Any, **kwargs: Any) -> Generator[Any, None, AddressList]:
    return (yield from addr(*args, **kwargs))


def look_up(*args: Any, **kwargs: Any) -> AddressList:
    async def main() -> AddressList:
        return await addr(*args, **kwargs)

    return run(main)


def sockaddrs(found: Sequence[Address]) -> list[Any]:
    return [address.sockaddr for address in found]


class Resolver:
    """A replacement of getaddrinfo(3): numeric questions get a real answer, all others block until `answers` is set."""

    def __init__(self) -> None:
        self.numeric = socket.getaddrinfo
        self.answers = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked: list[tuple[Any, ...]] = []
        self.outcome: Callable[..., Any] = lambda *args: ANSWER
        self.os_threads: set[threading.Thread] = set()

    def getaddrinfo(self, *args: Any) -> Any:
        if args[5] & NUMERIC == NUMERIC:
            return self.numeric(*args)
        self.asked.append(args)
        self.os_threads.add(threading.current_thread())
        self.begun.release()
        assert self.answers.wait(LIMIT_S)
        return self.outcome(*args)

    def wait_for(self, count: int) -> None:
        """Wait until that many more lookups have begun."""
        for _ in range(count):
            assert self.begun.acquire(timeout=LIMIT_S)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.answers.set()
    monkeypatch.setattr(osthreads, "IDLE_S", 0)  # busy OS threads end after their answers
    osthreads.lookups.end()
    for os_thread in threading.enumerate():
        if os_thread.name == "socket2 lookup":
            os_thread.join(LIMIT_S)


# Hosts that need no lookup.


@pytest.mark.parametrize(
    ("host", "family", "ip"),
    [
        (None, "inet", "0.0.0.0"),
        ("*", "inet", "0.0.0.0"),
        ("", "inet", "0.0.0.0"),
        (b"*", "inet", "0.0.0.0"),
        (None, "inet6", "::"),
        ("*", "inet6", "::"),
        (None, None, "0.0.0.0"),
        (False, "inet", "127.0.0.1"),
        (False, "inet6", "::1"),
        (False, None, "127.0.0.1"),
        ("localhost", "inet", "127.0.0.1"),
        ("localhost", "inet6", "::1"),
        (b"localhost", "inet", "127.0.0.1"),
        ("192.0.2.7", "inet", "192.0.2.7"),
        (b"192.0.2.7", "inet", "192.0.2.7"),
        ("192.0.2.7", None, "192.0.2.7"),
        ("2001:db8::7", "inet6", "2001:db8::7"),
        ("2001:db8::7", None, "2001:db8::7"),
        ("2001:DB8:0:0::7", "inet6", "2001:db8::7"),
    ],
)
def test_a_host_that_needs_no_look_up_is_answered_at_once(host: Any, family: str | None, ip: str) -> None:
    found = at_once(host, 80, family=family)
    assert [address.host for address in found] == [ip]
    assert found.family == ("inet6" if ":" in ip else "inet")
    assert found[0].port == 80


def test_a_name_is_the_loopback_address_whatever_its_case() -> None:
    assert at_once("LocalHost", 80)[0].host == "127.0.0.1"


def test_a_scope_can_be_given_by_name_and_by_number() -> None:
    index, name = socket.if_nameindex()[0]
    expected = [("fe80::1", 80, 0, index)]
    assert sockaddrs(at_once(f"fe80::1%{name}", 80, family="inet6")) == expected
    assert sockaddrs(at_once(f"fe80::1%{index}", 80, family="inet6")) == expected


def test_without_arguments_it_is_any_interface_and_any_port() -> None:
    assert sockaddrs(at_once()) == [("0.0.0.0", 0)]


def test_an_address_list_is_returned_as_it_is() -> None:
    found = at_once("192.0.2.7", 80)
    assert at_once(found, 99) is found


def test_an_address_is_a_list_of_one() -> None:
    address = at_once("192.0.2.7", 80)[0]
    assert list(at_once(address)) == [address]


@pytest.mark.parametrize(
    ("given", "family", "sockaddr"),
    [
        (("192.0.2.7", 80), "inet", ("192.0.2.7", 80)),
        (("localhost", "80"), "inet", ("127.0.0.1", 80)),
        (("2001:db8::7", 80), "inet6", ("2001:db8::7", 80, 0, 0)),
        (("2001:db8::7", 80, 0, 0), "inet6", ("2001:db8::7", 80, 0, 0)),
        (("fe80::1", 80, 0, 1), "inet6", ("fe80::1", 80, 0, 1)),
    ],
)
def test_an_address_as_the_standard_library_has_it_will_do(given: Any, family: str, sockaddr: Any) -> None:
    assert sockaddrs(at_once(given, family=family)) == [sockaddr]


@pytest.mark.parametrize("given", [(), ("192.0.2.7",), ("::1", 80, 0), (80, "192.0.2.7"), (None, None, 0, 0, 0)])
def test_a_tuple_that_is_no_address_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError):
        addr(given)


@pytest.mark.parametrize("path", ["/run/s", "s", "\0abstract", b"/run/\xff"])
@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_a_path_is_the_address_of_a_unix_socket(path: Any, kind: str) -> None:
    (address,) = at_once(path, family="unix", type=kind)
    assert (address.family, address.type, address.sockaddr, address.port) == ("unix", kind, path, 0)


@pytest.mark.parametrize("host", [None, False])
def test_a_unix_socket_has_no_address_that_goes_without_saying(host: Any) -> None:
    with pytest.raises(ValueError, match="path"):
        look_up(host, family="unix")


def test_it_can_be_awaited_and_yielded_from() -> None:
    assert (
        sockaddrs(socket2.run(asking_for, "192.0.2.7", 1)) == sockaddrs(look_up("192.0.2.7", 1)) == [("192.0.2.7", 1)]
    )


# Ports.


@pytest.mark.parametrize(("port", "number"), [(0, 0), (1, 1), (65535, 65535), ("80", 80), ("00080", 80), (None, 0)])
def test_a_port_is_a_number_in_either_form(port: Any, number: int) -> None:
    assert sockaddrs(at_once("192.0.2.7", port)) == [("192.0.2.7", number)]


def test_a_port_may_be_the_name_of_a_service() -> None:
    try:
        port = socket.getservbyname("http", "tcp")
        socket.getaddrinfo("192.0.2.7", "http")  # Wine has its own list for the first, and uses the machine's for this
    except OSError:
        pytest.skip("this system does not know the service http (no /etc/services)")
    assert sockaddrs(look_up("192.0.2.7", "http")) == [("192.0.2.7", port)]
    assert sockaddrs(look_up("::1", "http", family="inet6")) == [("::1", port, 0, 0)]


def test_a_service_that_does_not_exist_is_a_failed_look_up() -> None:
    with pytest.raises(socket.gaierror):
        look_up("192.0.2.7", "no-such-service")


@pytest.mark.parametrize("port", [-1, 65536, 1 << 40, "65536"])
def test_a_port_out_of_range_is_an_overflow(port: Any) -> None:
    with pytest.raises(OverflowError, match="65535"):
        addr("192.0.2.7", port)


@pytest.mark.parametrize("port", [1.5, b"80", [], object()])
def test_a_port_of_another_type_is_a_type_error(port: Any) -> None:
    with pytest.raises(TypeError, match="port"):
        addr("192.0.2.7", port)


# Types, families, protocols, flags.


@pytest.mark.parametrize(
    ("kind", "protocol", "is_protocol"),
    [
        ("tcp", None, "tcp"),
        ("udp", None, "udp"),
        ("raw", None, "raw"),
        ("tcp", "tcp", "tcp"),
        ("udp", 17, "udp"),
        ("raw", "icmp", "icmp"),
        ("raw", "icmpv6", "icmpv6"),
        ("raw", 89, 89),
    ],
)
def test_an_address_has_the_type_and_the_protocol_asked_for(kind: str, protocol: Any, is_protocol: Any) -> None:
    (address,) = at_once("127.0.0.1", 0, kind, protocol=protocol)
    assert (address.type, address.protocol, address.sockaddr) == (kind, is_protocol, ("127.0.0.1", 0))


def test_a_protocol_that_the_type_does_not_have_is_a_failed_look_up() -> None:
    with pytest.raises(socket.gaierror):
        look_up("127.0.0.1", 0, "udp", protocol="tcp")


def test_a_literal_of_another_family_is_a_failed_look_up() -> None:
    with pytest.raises(socket.gaierror):
        look_up("::1", 0, family="inet")


@pytest.mark.parametrize(
    "wrong", [{"type": "sctp"}, {"family": "ipx"}, {"protocol": "ospf"}, {"flags": "nope"}, {"flags": ["passive", ""]}]
)
def test_an_unknown_name_is_a_value_error_that_lists_the_known_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected one of \w+, "):
        addr("127.0.0.1", 0, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"type": 1}, {"type": None}, {"family": 2}, {"protocol": 1.5}, {"flags": [1]}, {"flags": 1}]
)
def test_something_that_is_no_name_is_a_type_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        addr("127.0.0.1", 0, **wrong)


FLAGS = {
    "passive": socket.AI_PASSIVE,
    "cannonname": socket.AI_CANONNAME,
    "canonname": socket.AI_CANONNAME,
    "all": socket.AI_ALL,
    "v4mapped": socket.AI_V4MAPPED,
    "addrconfig": socket.AI_ADDRCONFIG,
    "numericserv": socket.AI_NUMERICSERV,
}


@pytest.mark.parametrize(("flag", "bit"), FLAGS.items())
def test_a_flag_is_its_bit(resolver: Resolver, flag: str, bit: int) -> None:
    resolver.answers.set()
    look_up("peer.test", 80, flags=flag)
    assert resolver.asked == [("peer.test", 80, socket.AF_INET, socket.SOCK_STREAM, 6, bit)]


@pytest.mark.parametrize(
    "flags",
    [
        "passive all",
        " all  passive ",
        {"passive", "all"},
        ["all", "passive"],
        ("all", "passive", "all"),
        iter(["all", "passive"]),
    ],
    ids=lambda flags: type(flags).__name__,
)
def test_flags_are_a_string_or_any_collection(resolver: Resolver, flags: Any) -> None:
    resolver.answers.set()
    look_up("peer.test", 80, flags=flags)
    assert resolver.asked[0][5] == socket.AI_PASSIVE | socket.AI_ALL


def test_without_flags_there_are_none(resolver: Resolver) -> None:
    resolver.answers.set()
    look_up("peer.test", 80)
    assert resolver.asked[0][5] == 0


def test_numerichost_refuses_a_name_at_once() -> None:
    asking = newthread(lambda: join_quietly("peer.test", 80, flags="numerichost"))
    assert asking.done
    assert isinstance(asking.result(), socket.gaierror)


def join_quietly(*args: Any, **kwargs: Any) -> Generator[Any, None, AddressList | Exception]:
    try:
        return (yield from addr(*args, **kwargs))
    except Exception as error:
        return error


def test_numericserv_refuses_the_name_of_a_service() -> None:
    with pytest.raises(socket.gaierror):
        look_up("192.0.2.7", "http", flags="numericserv")


def test_v4mapped_gives_an_inet4_literal_as_inet6() -> None:
    assert at_once("192.0.2.7", 80, family="inet6", flags="v4mapped")[0].host == "::ffff:192.0.2.7"


def test_the_canonical_name_is_there_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: Any, port: Any, family: int, kind: int, protocol: int, flags: int) -> Any:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no literal")
        name = "canonical.test" if flags & socket.AI_CANONNAME else ""
        return [(socket.AF_INET, kind, 6, name, ("192.0.2.7", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert look_up("alias.test", 80, flags="cannonname").name == "canonical.test"
    assert look_up("alias.test", 80).name is None


# The form of an answer.


def address(host: str, port: int, family: str = "inet", name: str | None = None) -> Address:
    return Address(family, "tcp", "tcp", name, (host, port) if family == "inet" else (host, port, 0, 0))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1", 80, 0, 99_999), "[fe80::1%99999]:80"),
        (("192.0.2.1", 0), "192.0.2.1"),
        ("/run/app.sock", "/run/app.sock"),
        (b"\0app", "@app"),
        ("", ""),
    ],
)
def test_an_address_as_text(address: socket2.SocketAddress, text: str) -> None:
    assert socket2.format_address(address) == text
