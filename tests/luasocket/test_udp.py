"""UDP objects: datagrams to and from one peer, or any peer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..interop.peers import LIMIT_S, refusing_port
from ..machine import needs_ipv6
from .face import Do


async def bound(do: Do, address: str = "127.0.0.1") -> luasocket.UDP:
    made = luasocket.udp()
    made.settimeout(LIMIT_S)
    assert await do(made.setsockname, address, 0) == (1, None)
    return made


async def test_to_anybody_and_back(do: Do) -> None:
    with await bound(do) as one, luasocket.udp() as other:
        assert repr(one).startswith("udp{unconnected}: 0x")
        assert other.getfd() == -1
        assert await do(other.sendto, b"hello", *one.getsockname()[:2]) == (5, None)
        data, ip, port = await do(one.receivefrom)
        assert (data, ip, port) == (b"hello", "127.0.0.1", other.getsockname()[1])
        assert await do(one.sendto, b"back", ip, port) == (4, None)
        assert await do(other.receive) == (b"back", None)


async def test_to_one_peer(do: Do) -> None:
    with await bound(do) as one, await bound(do) as other, await bound(do) as stranger:
        assert await do(one.setpeername, *other.getsockname()[:2]) == (1, None)
        assert repr(one).startswith("udp{connected}: 0x")
        assert one.getpeername() == other.getsockname()
        assert await do(one.send, b"hello") == (5, None)
        assert await do(other.receivefrom) == (b"hello", *one.getsockname()[:2])
        assert await do(stranger.sendto, b"not for you", *one.getsockname()[:2]) == (11, None)
        assert await do(other.sendto, b"back", *one.getsockname()[:2]) == (4, None)
        assert await do(one.receive) == (b"back", None)
        one.settimeout(0)
        assert await do(one.receive) == (None, "timeout")


async def test_the_peer_can_be_given_up(do: Do) -> None:
    with await bound(do) as one, await bound(do) as other, await bound(do) as third:
        assert await do(one.setpeername, *other.getsockname()[:2]) == (1, None)
        assert await do(other.sendto, b"before", *one.getsockname()[:2]) == (6, None)
        name = one.getsockname()
        assert await do(one.setpeername, "*") == (1, None)
        assert repr(one).startswith("udp{unconnected}")
        assert one.getsockname() == name
        assert await do(third.sendto, b"after", *name[:2]) == (5, None)
        assert await do(one.receive) == (b"before", None), "nothing is lost"
        assert (await do(one.receivefrom))[0] == b"after"
        assert await do(one.sendto, b"hello", *third.getsockname()[:2]) == (5, None)
        assert await do(third.receive) == (b"hello", None)


async def test_giving_up_no_peer(do: Do) -> None:
    with luasocket.udp() as sock:
        assert await do(sock.setpeername, "*") == (1, None)
    assert await do(sock.setpeername, "*") == (None, "closed")


async def test_an_empty_datagram_is_one(do: Do) -> None:
    with await bound(do) as one, luasocket.udp() as other:
        assert await do(other.sendto, b"", *one.getsockname()[:2]) == (0, None)
        assert await do(one.receive) == (b"", None)
        assert await do(other.setpeername, *one.getsockname()[:2]) == (1, None)
        assert await do(other.send, b"") == (0, None)
        assert (await do(one.receivefrom))[0] == b""


@pytest.mark.parametrize(("size", "got"), [(None, 8192), (8192, 8192), (3, 3), (0, 0), (9000, 9000), (20_000, 9001)])
async def test_a_datagram_is_cut(do: Do, size: int | None, got: int) -> None:
    data = bytes(range(256)) * 36
    with await bound(do) as one, await bound(do) as other:
        for receive in (one.receive, one.receivefrom):
            assert await do(other.sendto, data[:9001], *one.getsockname()[:2]) == (9001, None)
            assert (await do(receive, *([] if size is None else [size])))[0] == data[:9001][:got]


async def test_the_default_size_can_be_changed(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luasocket, "_DATAGRAMSIZE", 4)
    with await bound(do) as one:
        assert await do(one.sendto, b"123456", *one.getsockname()[:2]) == (6, None)
        assert await do(one.receive) == (b"1234", None)


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("5", TypeError), (1.5, TypeError), (True, TypeError)])
def test_what_is_no_size_raises(size: Any, error: type[Exception]) -> None:
    with luasocket.udp() as sock:
        for receive in (sock.receive, sock.receivefrom):
            with pytest.raises(error, match="size"):
                receive(size)


async def test_too_long_for_a_datagram(do: Do) -> None:
    with await bound(do) as one:
        assert await do(one.sendto, bytes(70_000), *one.getsockname()[:2]) == (None, "Message too long")


async def test_without_the_right_to(do: Do) -> None:
    with luasocket.udp() as sock:
        assert await do(sock.sendto, b"x", "127.255.255.255", 9) == (None, "permission denied")
        assert sock.setoption("broadcast", True) == (1, None)


async def test_refused(do: Do) -> None:
    with luasocket.udp() as sock:
        assert await do(sock.setpeername, "127.0.0.1", refusing_port(kind=socket.SOCK_DGRAM)) == (1, None)
        assert await do(sock.send, b"x") == (1, None)
        sock.settimeout(LIMIT_S)
        assert await do(sock.receive) == (None, "connection refused")
        assert await do(sock.send, b"x") == (1, None)
        await do(luasocket.select, [sock], None, LIMIT_S)
        assert await do(sock.send, b"x") == (None, "connection refused")
        sock.settimeout(0)
        assert await do(sock.receive) == (None, "timeout"), "the object is well"


@pytest.mark.parametrize("ip", ["localhost", "no.such.name.invalid", "", "*", "1.2.3", "x" * 300])
async def test_sendto_wants_a_numeric_address(do: Do, ip: str) -> None:
    with luasocket.udp4() as sock:
        assert await do(sock.sendto, b"x", ip, 9) == (None, "host or service not provided, or not known")


async def test_sendto_of_another_family_is_as_with_setpeername(do: Do) -> None:
    with luasocket.udp4() as sock:
        sent = await do(sock.sendto, b"x", "::1", 9)
        assert sent == await do(sock.setpeername, "::1", 9)
        assert sent[0] is None


async def test_sendto_wants_a_numeric_port(do: Do) -> None:
    with luasocket.udp() as sock:
        assert await do(sock.sendto, b"x", "127.0.0.1", "http") == (None, "host or service not provided, or not known")
        assert await do(sock.sendto, b"x", "127.0.0.1", str(refusing_port(kind=socket.SOCK_DGRAM))) == (1, None)


async def test_names_are_looked_up(do: Do) -> None:
    with luasocket.udp() as one, luasocket.udp() as other:
        assert await do(one.setsockname, "localhost", 0) == (1, None)
        assert await do(other.setpeername, "localhost", one.getsockname()[1]) == (1, None)
        assert await do(other.send, b"x") == (1, None)
        assert other.getpeername() == one.getsockname()
        _, err = await do(luasocket.udp().setpeername, "no.such.name.invalid", 1)
        assert err in ("host or service not provided, or not known", "temporary failure in name resolution")


@needs_ipv6
async def test_ipv6(do: Do) -> None:
    with luasocket.udp6() as one, luasocket.udp() as other:
        assert await do(one.setsockname, "*", 0) == (1, None)
        assert one.getsockname()[::2] == ("::", "inet6")
        assert one.getfamily() == "inet6"
        assert await do(other.sendto, b"x", "::1", one.getsockname()[1]) == (1, None)
        assert other.getfamily() == "inet6"
        data, ip, port = await do(one.receivefrom)
        assert (data, ip, port) == (b"x", "::1", other.getsockname()[1])
        assert (await do(other.sendto, b"x", "127.0.0.1", 9))[0] is None


async def test_what_a_class_does_not_do_raises(do: Do) -> None:
    with await bound(do) as one, await bound(do) as other:
        mistakes: tuple[Callable[[], Any], ...] = (lambda: one.send(b"x"), lambda: one.getpeername())
        for wrong in mistakes:
            with pytest.raises(TypeError, match=r"on bad self \(udp\{connected\} expected"):
                wrong()
        assert await do(one.setpeername, *other.getsockname()[:2]) == (1, None)
        mistakes = (
            lambda: one.sendto(b"x", "127.0.0.1", 9),
            lambda: one.receivefrom(),
            lambda: one.setsockname("*", 0),
        )
        for wrong in mistakes:
            with pytest.raises(TypeError, match=r"on bad self \(udp\{unconnected\} expected"):
                wrong()


async def test_what_is_no_datagram_or_address_raises(do: Do) -> None:
    with await bound(do) as one:
        for arguments in (("text", "127.0.0.1", 9), (b"x", None, 9), (b"x", 5, 9), (b"x", b"127.0.0.1", 9)):
            with pytest.raises(TypeError):
                await do(one.sendto, *arguments)
        with pytest.raises(TypeError):
            one.setpeername("127.0.0.1")
        with pytest.raises(TypeError):
            one.setpeername(None, 5)  # type: ignore[arg-type]


async def test_close(do: Do) -> None:
    one = await bound(do)
    assert not one.dirty()
    thread = socket2.newthread(one.receive)
    other = socket2.newthread(one.receivefrom)
    assert one.close() == one.close() == 1
    while not (thread.done and other.done):
        await do(luasocket.sleep, 0)
    assert thread.result() == (None, "closed")
    assert other.result() == (None, "closed", None)
    assert one.getfd() == -1
    assert await do(one.receive) == (None, "closed")
    assert await do(one.receivefrom) == (None, "closed", None)
    assert await do(one.sendto, b"x", "127.0.0.1", 9) == (None, "closed")
    assert one.getsockname() == (None, "Bad file descriptor", None)


async def test_setfd(do: Do) -> None:
    with await bound(do) as one, luasocket.udp() as other:
        name = one.getsockname()
        fd = one.getfd()
        one.setfd(-1)
        other.setfd(fd)
        assert (one.getfd(), other.getfd(), other.getsockname()) == (-1, fd, name)


async def test_cancelled_it_has_taken_nothing(do: Do) -> None:
    with await bound(do) as one:
        thread = socket2.newthread(one.receive)
        thread.cancel()
        assert await do(one.sendto, b"hello", *one.getsockname()[:2]) == (5, None)
        assert await do(one.receive) == (b"hello", None)
        assert thread.done
