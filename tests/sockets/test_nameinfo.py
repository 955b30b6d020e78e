"""Reverse lookup: getnameinfo()."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from socket2 import (
    Address,
    AddressList,
    Cancelled,
    addr,
    format_address,
    getnameinfo,
    newthread,
    run,
    sleep,
    socketpair,
    suspend,
    timeout,
    udp,
)

from ..machine import needs_ipv6

NUMERIC = "numerichost numericserv"


class Names:
    """A resolver that knows every address, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def getaddrinfo(self, *args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "nothing is looked up by name here")

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        self.asked.append((sockaddr, flags))
        await sleep(0)
        if sockaddr[0] == "192.0.2.9":
            await suspend()
        if sockaddr[0] == "192.0.2.8":
            raise socket.gaierror(socket.EAI_NONAME, "no name")
        return "host.example", "service"


def test_numbers_take_no_lookup() -> None:
    async def main() -> None:
        assert await getnameinfo(("192.0.2.1", 80), NUMERIC) == ("192.0.2.1", "80")
        assert await getnameinfo(("192.0.2.1", 80), ["numericserv", "numerichost"]) == ("192.0.2.1", "80")
        with udp() as sock:
            sock.bind("127.0.0.1", 0)
            here = sock.getsockname()
            assert await getnameinfo(here, NUMERIC) == ("127.0.0.1", str(here[1]))

    names = Names()
    run(main, resolver=names)
    assert names.asked == []


@needs_ipv6
def test_numbers_of_ipv6() -> None:
    async def main() -> None:
        assert await getnameinfo(("2001:DB8::1", 53, 0, 0), NUMERIC) == ("2001:db8::1", "53")
        host, _ = await getnameinfo(("fe80::1", 53, 0, socket.if_nameindex()[0][0]), NUMERIC)
        assert host.startswith("fe80::1%")

    run(main)


def test_the_resolver_is_asked_for_names() -> None:
    async def main() -> None:
        assert await getnameinfo(("192.0.2.1", 80)) == ("host.example", "service")
        assert await getnameinfo(("192.0.2.1", 80), "namereqd nofqdn") == ("host.example", "service")
        assert await getnameinfo(("192.0.2.1", 80), "numerichost") == ("host.example", "service")
        found = await addr("192.0.2.2", 53, "udp")
        assert await getnameinfo(found) == await getnameinfo(found[0]) == ("host.example", "service")
        with pytest.raises(socket.gaierror, match="no name"):
            await getnameinfo(("192.0.2.8", 1))

    names = Names()
    run(main, resolver=names)
    assert names.asked == [
        (("192.0.2.1", 80), 0),
        (("192.0.2.1", 80), socket.NI_NAMEREQD | socket.NI_NOFQDN),
        (("192.0.2.1", 80), socket.NI_NUMERICHOST),
        (("192.0.2.2", 53), socket.NI_DGRAM),
        (("192.0.2.2", 53), socket.NI_DGRAM),
        (("192.0.2.8", 1), 0),
    ]


def test_the_system_is_asked_in_an_os_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getnameinfo", lambda sockaddr, flags: (f"name of {sockaddr[0]}", str(flags)))

    async def main() -> None:
        assert await getnameinfo(("192.0.2.1", 80), "dgram") == ("name of 192.0.2.1", str(socket.NI_DGRAM))

    run(main)


def test_a_cancel_or_timeout_ends_the_wait() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), timeout(0.01):
            await getnameinfo(("192.0.2.9", 80))
        asking = newthread(getnameinfo(("192.0.2.9", 80)))
        await sleep(0)
        asking.cancel()
        with pytest.raises(Cancelled):
            await asking.join()

    run(main, resolver=Names())


def test_numbers_let_other_threads_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await sleep(0)

    async def main() -> None:
        running = newthread(other)
        for _ in range(1000):
            await getnameinfo(("192.0.2.1", 80), NUMERIC)
        assert turns > 5
        running.cancel()
        with pytest.raises(Cancelled):
            await running.join()

    run(main)


@pytest.mark.parametrize("where", [None, 5, (), (80,), ("192.0.2.1",), ("192.0.2.1", "80"), (1, 2)])
def test_what_is_no_address(where: Any) -> None:
    with pytest.raises(TypeError):
        getnameinfo(where)


@pytest.mark.parametrize(
    "where",
    [
        "/run/app.sock",
        b"x",
        ("localhost", 80),
        ("", 80),
        ("*", 80),
        ("name.example", 80),
        AddressList([]),
        Address("unix", "stream", 0, None, "/run/app.sock"),
    ],
    ids=str,
)
def test_what_has_no_name(where: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        getnameinfo(where)


def test_other_mistakes() -> None:
    with pytest.raises(OverflowError):
        getnameinfo(("192.0.2.1", 70000))
    with pytest.raises(ValueError, match="unknown flag 'passive'"):
        getnameinfo(("192.0.2.1", 80), "passive")


def test_it_takes_the_addresses_of_sockets() -> None:
    async def main() -> None:
        here, there = socketpair("stream", family="inet")
        with here, there:
            host, port = await getnameinfo(here.remote_address, NUMERIC)
            assert f"{host}:{port}" == format_address(here.remote_address)

    run(main)
