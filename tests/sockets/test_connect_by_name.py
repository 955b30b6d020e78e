"""connect(), listen() and bind(): places in one string, and happy eyeballs over several addresses."""

from __future__ import annotations

import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import socket2
from socket2 import Address, AddressList, bind, connect, listen
from socket2.sockets.endpoint import split

from ..interop.peers import refusing_port, run, swallowing
from ..machine import needs_ipv6
from .test_udp import needs_abstract, needs_unix


def at(host: str, port: int) -> Address:
    family = "inet6" if ":" in host else "inet"
    return Address(family, "tcp", "tcp", None, (host, port, 0, 0) if family == "inet6" else (host, port))


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[Address]:
    """Return an address that does not answer attempts to connect."""
    with swallowing(host) as port:
        yield at(host, port)


def refusing(host: str = "127.0.0.1") -> Address:
    """An address with a port that refuses."""
    return at(host, refusing_port(host))


@pytest.fixture
def alive() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield at("127.0.0.1", listener.getsockname()[1])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Address]]:
    """The names for a test: name -> addresses, which the test adds. Other names are looked up as usual."""
    known: dict[str, list[Address]] = {}
    really = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if host not in known or flags & socket.AI_NUMERICHOST:
            return really(host, port, family, type, proto, flags)
        families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
        return [
            (families[address.family], type, proto, "", address.sockaddr)
            for address in known[host]
            if family in (0, families[address.family])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def connected_to(where: Any, *args: Any, **options: Any) -> Any:
    """Return the peer's address of a connection, and close it."""
    with await connect(where, *args, **options) as sock:
        return sock.getpeername()


# Places.


@pytest.mark.parametrize(
    ("where", "split_up"),
    [
        (("example.org:80",), ("example.org", "80", None)),
        (("example.org:http",), ("example.org", "http", None)),
        (("192.0.2.1:80",), ("192.0.2.1", "80", None)),
        (("[2001:db8::1]:80",), ("2001:db8::1", "80", None)),
        (("[fe80::1%eth0]:80",), ("fe80::1%eth0", "80", None)),
        ((":80",), ("", "80", None)),
        (("*:80",), ("*", "80", None)),
        (("example.org", 80), ("example.org", 80, None)),
        (("2001:db8::1", 80), ("2001:db8::1", 80, None)),
        (("[2001:db8::1]", 80), ("2001:db8::1", 80, None)),
        ((b"example.org:80",), ("example.org", "80", None)),
        ((None, 80), (None, 80, None)),
        (("/run/s", 80), ("/run/s", 80, None)),  # a client of a proxy may send such a name
        (("@name", 0), ("@name", 0, None)),
        ((("192.0.2.1", 80),), (("192.0.2.1", 80), None, None)),
        (("/run/s",), ("/run/s", 0, "unix")),
        (("./s",), ("./s", 0, "unix")),
        (("/run/with:colon",), ("/run/with:colon", 0, "unix")),
        ((b"/run/s",), ("/run/s", 0, "unix")),
        ((pathlib.Path("s"),), ("s", 0, "unix")),
        (("@name",), ("\0name", 0, "unix")),
        (("\0name",), ("\0name", 0, "unix")),
        ((b"\0name",), ("\0name", 0, "unix")),
    ],
)
def test_the_form_of_a_place_tells_what_it_is(where: Any, split_up: Any) -> None:
    assert split(*where) == split_up


@pytest.mark.parametrize("where", ["example.org", "80", "", "::1", "2001:db8::1:80", "[::1]", "[::1]80", "a:", "[]:80"])
def test_what_is_no_place_is_said_at_once(where: str) -> None:
    for use in (connect, listen, bind):
        with pytest.raises(ValueError, match="has no port"):
            use(where)


def test_other_mistakes_are_said_at_once() -> None:
    mistakes: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: connect("127.0.0.1:65536"), OverflowError),
        (lambda: connect("127.0.0.1", 80, family="ipx"), ValueError),
        (lambda: connect("127.0.0.1", 80, delay_s=-1), ValueError),
        (lambda: connect(5, 80), TypeError),  # type: ignore[call-overload]
        (lambda: listen("127.0.0.1:0", nosuch=1), ValueError),
        (lambda: bind("127.0.0.1:0", type="raw"), ValueError),  # type: ignore[call-overload]
        (lambda: bind("127.0.0.1:0", broadcast="yes"), TypeError),
        (lambda: connect(AddressList([])), ValueError),
        (lambda: listen(AddressList([])), ValueError),
    ]
    for mistake, error in mistakes:
        with pytest.raises(error):
            mistake()


# One address.


def test_connect_to_a_listener(alive: Address) -> None:
    async def main() -> None:
        for where in ((str(alive),), ("127.0.0.1", alive.port), (alive.sockaddr,), (alive,), (AddressList([alive]),)):
            assert await connected_to(*where) == alive.sockaddr

    run(main)


def test_a_generator_can_connect(alive: Address) -> None:
    def main() -> Any:
        with (yield from connect(str(alive))) as sock:
            assert sock.family == "inet"

    socket2.run(main)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "", None, False])
@pytest.mark.parametrize("listens_on", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_this_host_has_two_addresses(host: Any, listens_on: str) -> None:
    """A server on either address is found without a wait: the other address refuses at once."""

    async def main() -> None:
        with listen(listens_on, 0) as listener:
            assert (await connected_to(host, listener.getsockname()[1], delay_s=1000))[0] == listens_on

    run(main)


@needs_ipv6
def test_a_family_can_be_asked_for() -> None:
    async def main() -> None:
        with listen("127.0.0.1:0") as listener:
            port = listener.getsockname()[1]
            assert (await connected_to("localhost", port, family="inet"))[0] == "127.0.0.1"
            with pytest.raises(ConnectionRefusedError):
                await connect("localhost", port, family="inet6")

    run(main)


def test_options_are_set_before_it_connects(alive: Address) -> None:
    async def main() -> None:
        with await connect(alive, nodelay=True, keepalive=True) as sock:
            assert sock.getopt("nodelay") is True
            assert sock.getopt("keepalive") is True
        with pytest.raises(ValueError, match="unknown option 'no_delay': the options are"):
            await connect(alive, no_delay=True)
        with pytest.raises(TypeError, match="nodelay takes True or False, not 'yes'"):
            await connect(AddressList([alive, refusing()]), nodelay="yes")

    run(main)


def test_one_refusing_address_is_that_error() -> None:
    where = refusing()

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError) as failure:
            await connect(where)
        assert str(where) in "\n".join(failure.value.__notes__)

    run(main)


def test_a_name_that_does_not_exist() -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await connect("nosuchhost.invalid:80")

    run(main)


@needs_unix
def test_unix_paths(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        for where in (str(tmp_path / "s"), tmp_path / "p", os.fsencode(tmp_path / "b")):
            with listen(where) as listener:
                assert listener.family == "unix"
                with await connect(where) as sock, await listener.accept() as peer:
                    await sock.sendall(b"x")
                    assert await peer.recv(1) == b"x"

    run(main)


@needs_abstract
def test_abstract_names() -> None:
    async def main() -> None:
        name = f"socket2-{os.getpid()}"
        with listen(f"@{name}") as listener:
            assert listener.getsockname() == b"\0" + name.encode()
            for where in (f"@{name}", f"\0{name}", f"\0{name}".encode()):
                with await connect(where) as sock, await listener.accept():
                    assert sock.family == "unix"
        with pytest.raises(ConnectionRefusedError):
            await connect(f"@{name}")

    run(main)


@needs_unix
def test_the_error_of_a_connect_names_the_path(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "nobody")

    async def main() -> None:
        with pytest.raises(FileNotFoundError, match="nobody'") as caught:
            await connect(path)
        assert caught.value.filename == path
        with pytest.raises(FileNotFoundError) as of_bytes:
            await connect(path.encode())
        assert of_bytes.value.filename == path

    run(main)


def test_a_bad_port_is_not_taken_for_a_name() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="the port '80x' has to be looked up"):
            listen("127.0.0.1:80x")
        with pytest.raises(ValueError, match="'host.invalid' has to be looked up"):
            listen("host.invalid:80")

    run(main)
