"""TCP objects: what they are, and how they are bound, connected, accepted and closed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..machine import needs_ipv6
from .face import Do, Pair, server

NOT_OURS = "240.0.0.1"  # nobody may have this address (RFC 1112)


# Classes.


async def test_classes(do: Do) -> None:
    with luasocket.tcp() as master:
        assert repr(master).startswith("tcp{master}: 0x")
        assert await do(master.bind, "127.0.0.1", 0) == (1, None)
        assert repr(master).startswith("tcp{master}: 0x")
        assert master.listen() == (1, None)
        assert repr(master).startswith("tcp{server}: 0x")
        with luasocket.tcp() as client:
            assert await do(client.connect, *master.getsockname()[:2]) == (1, None)
            assert repr(client).startswith("tcp{client}: 0x")
            accepted, err = await do(master.accept)
            assert (repr(accepted)[:12], err) == ("tcp{client}:", None)
            accepted.close()


def test_what_a_class_does_not_do_raises(pair: Pair) -> None:
    listener, _ = server()
    with listener, luasocket.tcp() as master:
        for receive in (master.receive, listener.receive):
            with pytest.raises(TypeError, match=r"calling 'receive' on bad self \(tcp\{client\} expected, got tcp\{"):
                receive()
        mistakes: tuple[Callable[[], Any], ...] = (
            lambda: master.send(b"x"),
            lambda: listener.send(b"x"),
            lambda: master.shutdown(),
            lambda: listener.shutdown(),
            lambda: master.accept(),
            lambda: pair.client.accept(),
            lambda: listener.listen(),
            lambda: pair.client.listen(),
            lambda: listener.bind("127.0.0.1", 0),
            lambda: pair.client.bind("127.0.0.1", 0),
        )
        for wrong in mistakes:
            with pytest.raises(TypeError, match="on bad self"):
                wrong()


# Binding, listening and accepting.


async def test_bind_to_any_free_port(do: Do) -> None:
    with luasocket.tcp() as sock:
        assert sock.getfd() == -1
        assert sock.getsockname() == (None, "Bad file descriptor", None)
        assert await do(sock.bind, "*", 0) == (1, None)
        host, port, family = sock.getsockname()
        assert (host, family) == ("0.0.0.0", "inet")
        assert isinstance(port, int)
        assert port > 0
        assert sock.getfd() > 0
        assert await do(sock.bind, "*", 0) == (None, "Invalid argument")


@needs_ipv6
async def test_any_address_is_of_the_objects_family(do: Do) -> None:
    with luasocket.tcp6() as six, luasocket.tcp4() as four:
        assert await do(six.bind, "*", 0) == (1, None)
        assert six.getsockname()[::2] == ("::", "inet6")
        assert six.getoption("ipv6-v6only") == (True, None)
        assert six.listen() == (1, None)
        assert await do(luasocket.connect, "127.0.0.1", six.getsockname()[1]) == (None, "connection refused")
        assert await do(four.bind, "*", 0) == (1, None)
        assert four.getsockname()[::2] == ("0.0.0.0", "inet")


async def test_bind_to_a_name_and_to_a_service(do: Do) -> None:
    with luasocket.tcp() as sock:
        assert await do(sock.setsockname, "localhost", "0") == (1, None)
        assert sock.getsockname()[0] in ("127.0.0.1", "::1")


async def test_bind_tells_why_not(do: Do) -> None:
    listener, port = server()
    with listener, luasocket.tcp() as sock:
        assert await do(sock.bind, "127.0.0.1", port) == (None, "address already in use")
        assert await do(sock.bind, NOT_OURS, 0) == (None, "Cannot assign requested address")
        assert await do(sock.bind, "no.such.name.invalid", 0) in (
            (None, "host or service not provided, or not known"),
            (None, "temporary failure in name resolution"),
        )
        assert await do(sock.bind, "x" * 300, 0) == (None, "host or service not provided, or not known")
        assert await do(sock.bind, "127.0.0.1", "nosuchservice") == (None, "service not supported for socket type")
        assert await do(sock.bind, "127.0.0.1", 0) == (1, None), "and it can still be bound"


@pytest.mark.parametrize(
    ("address", "port"), [(None, 1), (1, 1), (b"127.0.0.1", 1), ("127.0.0.1", None), ("127.0.0.1", True)]
)
def test_what_is_no_address_raises(address: Any, port: Any) -> None:
    with luasocket.tcp() as sock:
        for method in (sock.bind, sock.connect, sock.setsockname, sock.setpeername):
            with pytest.raises(TypeError):
                method(address, port)


@pytest.mark.parametrize("port", [-1, 65536, 70000, 2**80, "-1", "65536"])
async def test_a_port_out_of_range_is_no_service(do: Do, port: Any) -> None:
    refused = (None, "service not supported for socket type")
    assert await do(luasocket.bind, "127.0.0.1", port) == refused
    assert await do(luasocket.connect, "127.0.0.1", port) == refused
    assert await do(luasocket.connect, "127.0.0.1", 9, "127.0.0.1", port) == refused
    with luasocket.tcp() as sock, luasocket.udp() as datagrams:
        assert await do(sock.bind, "127.0.0.1", port) == refused
        assert await do(sock.connect, "127.0.0.1", port) == refused
        assert await do(datagrams.setsockname, "127.0.0.1", port) == refused
        assert await do(datagrams.setpeername, "127.0.0.1", port) == refused
        if not isinstance(port, str) or port == "65536":
            assert await do(datagrams.sendto, b"x", "127.0.0.1", port) == refused


@pytest.mark.parametrize("make", [luasocket.tcp4, luasocket.udp4])
def test_with_a_family_there_is_a_descriptor_at_once(make: Any) -> None:
    with make() as sock:
        assert sock.getfd() >= 0
        assert sock.getsockname() == ("0.0.0.0", 0, "inet")
        assert sock.getoption("reuseaddr" if make is luasocket.tcp4 else "broadcast") == (False, None)
        assert sock.setoption("recv-buffer-size", 1 << 70) == (None, "setsockopt failed")


@needs_ipv6
@pytest.mark.parametrize("make", [luasocket.tcp6, luasocket.udp6])
def test_with_ipv6_there_is_a_descriptor_at_once(make: Any) -> None:
    with make() as sock:
        assert sock.getfd() >= 0
        assert sock.getsockname() == ("::", 0, "inet6")
        assert sock.getoption("ipv6-v6only") == (True, None)


async def test_what_is_left_out_is_none(do: Do) -> None:
    with luasocket.tcp4() as sock:
        assert sock.settimeout() == sock.settimeout(1, None) == 1
        assert await do(sock.bind, "127.0.0.1", 0) == (1, None)
        assert sock.listen(None) == (1, None)
        client, _ = await do(luasocket.connect, *sock.getsockname()[:2])
        peer, _ = await do(sock.accept)
        with client, peer:
            assert await do(peer.send, b"abc\n", None, None) == (4, None, None)
            assert await do(client.receive, None, None) == (b"abc", None, None)
            assert client.shutdown(None) == 1


async def test_no_host_at_all_is_none_that_is_known(do: Do) -> None:
    with luasocket.tcp() as sock:
        unknown = (None, "host or service not provided, or not known")
        assert await do(sock.bind, "", 0) == await do(sock.connect, "", 9) == unknown


async def test_listen_unbound_takes_a_free_port(do: Do) -> None:
    with luasocket.tcp() as sock:
        assert sock.listen(5) == (1, None)
        with luasocket.tcp() as client:
            assert await do(client.connect, "127.0.0.1", sock.getsockname()[1]) == (1, None)


@pytest.mark.parametrize("backlog", ["5", True, 1.5])
def test_what_is_no_backlog_raises(backlog: Any) -> None:
    with luasocket.tcp() as sock, pytest.raises(TypeError, match="backlog"):
        sock.listen(backlog)


async def test_accept_passes_over_a_client_that_left(do: Do) -> None:
    listener, port = server()
    with listener:
        gone = socket.create_connection(("127.0.0.1", port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
        with socket.create_connection(("127.0.0.1", port)) as stays:
            stays.sendall(b"here\n")
            lines = []
            while b"here" not in lines:  # Linux also accepts the client that has left
                accepted, err = await do(listener.accept)
                assert err is None
                with accepted:
                    lines.append((await do(accepted.receive))[0])


async def test_close_wakes_who_accepts(do: Do) -> None:
    listener, _ = server()
    thread = socket2.newthread(listener.accept)
    listener.close()
    while not thread.done:
        await do(luasocket.sleep, 0)
    assert thread.result() == (None, "closed")
    assert await do(listener.accept) == (None, "closed")


async def test_several_accept_in_turn(do: Do) -> None:
    listener, port = server()
    with listener:
        threads = [socket2.newthread(listener.accept) for _ in range(3)]
        for _ in threads:
            with socket.create_connection(("127.0.0.1", port)):
                await do(luasocket.sleep, 0)
        while not all(thread.done for thread in threads):
            await do(luasocket.sleep, 0)
        for thread in threads:
            client, err = thread.result()
            assert client is not None
            assert err is None
            client.close()
