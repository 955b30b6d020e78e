"""TCP objects: how they connect, their names and descriptors, their end, and their statistics."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import luasocket
from socket2.threads import osthreads

from ..interop.peers import LIMIT_S, refusing_port, swallowing
from ..machine import has_ipv6, needs_ipv6
from .face import Do, Pair, server

# Connecting.


async def test_connect_to_a_name(do: Do) -> None:
    """The server is on one of the two loopback addresses, and the other one refuses."""
    for address in ["127.0.0.1"] + ["::1"] * has_ipv6():
        listener, port = server(address)
        with listener, luasocket.tcp() as client:
            assert await do(client.connect, "localhost", port) == (1, None)
            assert client.getpeername() == (address, port, "inet6" if ":" in address else "inet")
            assert client.getfamily() == ("inet6" if ":" in address else "inet4")


async def test_connect_by_its_other_name_and_to_a_port_in_text(do: Do) -> None:
    listener, port = server()
    with listener, luasocket.tcp4() as client:
        assert await do(client.setpeername, "127.0.0.1", str(port)) == (1, None)


async def test_a_refused_client_is_one_and_can_try_again(do: Do) -> None:
    listener, port = server()
    with listener, luasocket.tcp() as client:
        assert await do(client.connect, "127.0.0.1", refusing_port()) == (None, "connection refused")
        assert repr(client).startswith("tcp{client}")
        assert client.getfd() >= 0
        assert client.getpeername() == (None, "Transport endpoint is not connected", None)
        assert (await do(client.send, b"x"))[0] is None
        assert await do(client.connect, "127.0.0.1", port) == (1, None)
        assert await do(client.connect, "127.0.0.1", port) == (None, "already connected")
        assert await do(client.send, b"still\n") == (6, None, None)


async def test_it_keeps_its_own_address_from_try_to_try(do: Do) -> None:
    listener, port = server()
    with listener, luasocket.tcp() as client:
        assert await do(client.bind, "127.0.0.1", 0) == (1, None)
        name = client.getsockname()
        assert await do(client.connect, "127.0.0.1", refusing_port()) == (None, "connection refused")
        assert await do(client.connect, "127.0.0.1", port) == (1, None)
        assert client.getsockname() == name


@needs_ipv6
async def test_bound_it_connects_to_its_family_only(do: Do) -> None:
    with luasocket.tcp() as client:
        assert await do(client.bind, "127.0.0.1", 0) == (1, None)
        _, err = await do(client.connect, "::1", 80)
        assert err == "host or service not provided, or not known" or "amily" in err


async def test_without_waiting_it_goes_on_by_itself(do: Do) -> None:
    """select() reports the end, and the option `error` the outcome, as the manual says."""
    listener, port = server()
    with listener, luasocket.tcp() as client:
        client.settimeout(0)
        begun, err = await do(client.connect, "127.0.0.1", port)
        assert (begun, err) in ((1, None), (None, "timeout"))
        _, writable, _ = await do(luasocket.select, None, [client], LIMIT_S)
        assert writable[client] == 1
        assert client.getoption("error") == (None, None)
        assert await do(client.send, b"there\n") == (6, None, None)
        assert await do(client.connect, "127.0.0.1", port) in ((1, None), (None, "already connected"))
        assert await do(client.connect, "127.0.0.1", port) == (None, "already connected")


async def test_without_waiting_it_can_fail_by_itself(do: Do) -> None:
    port = refusing_port()
    with luasocket.tcp() as client:
        client.settimeout(0)
        _, err = await do(client.connect, "127.0.0.1", port)
        if err == "timeout":
            await do(luasocket.select, None, [client], LIMIT_S)
            err, _ = client.getoption("error")
        assert err == "connection refused"
        assert client.getoption("error") == (None, None), "reading it clears it"


async def test_while_it_goes_on_it_says_so(do: Do) -> None:
    with swallowing() as port, luasocket.tcp() as client:
        client.settimeout(0)
        assert await do(client.connect, "127.0.0.1", port) == (None, "timeout")
        assert await do(client.connect, "127.0.0.1", port) == (None, "Operation already in progress")
        client.settimeout(0.01)
        assert await do(client.connect, "127.0.0.1", port) == (None, "Operation already in progress")
        assert await do(luasocket.select, None, [client], 0) == ([], [], "timeout")


@pytest.mark.parametrize("mode", ["b", "t"])
async def test_a_timeout_of_connect(do: Do, mode: str) -> None:
    with swallowing() as port, luasocket.tcp() as client:
        client.settimeout(0.05, mode)
        assert await do(client.connect, "127.0.0.1", port) == (None, "timeout")


def addresses(monkeypatch: pytest.MonkeyPatch, *ips: str) -> str:
    """Make a name with these addresses."""
    numeric = socket.getaddrinfo

    def find(host: Any, port: Any, *args: Any) -> Any:
        if host != "several.invalid":
            return numeric(host, port, *args)
        if args[3] & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no literal")
        return [found for ip in ips for found in numeric(ip, port, *args)]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return "several.invalid"


async def test_several_addresses(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is tried in turn, with a socket of its own. The block timeout is for each, the total for all."""
    listener, port = server()
    with listener, swallowing("127.0.0.2", port):
        name = addresses(monkeypatch, "127.0.0.3", "127.0.0.2", "127.0.0.1")
        with luasocket.tcp() as client:
            client.settimeout(0.5)
            assert await do(client.connect, name, port) == (1, None)
            assert client.getpeername()[0] == "127.0.0.1"
        name = addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
        with luasocket.tcp() as client:
            client.settimeout(0.05, "t")
            assert await do(client.connect, name, port) == (None, "timeout")
    port = refusing_port()
    with swallowing("127.0.0.2", port), luasocket.tcp() as client:
        client.settimeout(0.5)
        assert await do(client.connect, name, port) == (None, "connection refused"), "the last one's"


async def test_without_waiting_only_the_first_address_is_tried(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, port = server()
    name = addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
    with listener, swallowing("127.0.0.2", port), luasocket.tcp() as client:
        client.settimeout(0)
        assert await do(client.connect, name, port) == (None, "timeout")
        assert await do(client.connect, name, port) == (None, "Operation already in progress")
        assert await do(luasocket.select, [listener], None, 0.01) == ([], [], "timeout")


async def test_a_cancelled_connect_goes_on(do: Do) -> None:
    with swallowing() as port, luasocket.tcp() as client:
        thread = socket2.newthread(client.connect, "127.0.0.1", port)
        thread.cancel()
        while not thread.done:
            await do(luasocket.sleep, 0)
        assert await do(client.connect, "127.0.0.1", port) == (None, "Operation already in progress")


async def test_a_look_up_is_under_the_timeout(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookup does not delay other threads either."""
    answer = threading.Event()

    def slow(*args: Any) -> Any:
        if not args[5] & socket.AI_NUMERICHOST:
            answer.wait(LIMIT_S)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with luasocket.tcp() as client:
        client.settimeout(0.05)
        assert await do(client.connect, "slow.invalid", 9) == (None, "timeout")
        answer.set()
    while osthreads.lookups._busy:
        await do(luasocket.sleep, 0.001)


async def test_close_wakes_who_connects(do: Do) -> None:
    with swallowing() as port, luasocket.tcp() as client:
        thread = socket2.newthread(client.connect, "127.0.0.1", port)
        client.close()
        while not thread.done:
            await do(luasocket.sleep, 0)
        assert thread.result() == (None, "closed")


# Names, descriptors, the end.


async def test_names_of_both_sides(do: Do, pair: Pair) -> None:
    assert pair.client.getpeername() == (*pair.peer.getsockname(), "inet")
    assert pair.client.getsockname() == (*pair.peer.getpeername(), "inet")
    pair.client.close()
    assert pair.client.getpeername() == (None, "Bad file descriptor", None)
    assert pair.client.getsockname() == (None, "Bad file descriptor", None)
    with luasocket.tcp4() as master:
        assert await do(master.bind, "127.0.0.1", 0) == (1, None)
        _, err, _ = master.getpeername()
        assert isinstance(err, luasocket.Message)
        assert (err, err.errno) == (os.strerror(errno.ENOTCONN), errno.ENOTCONN)


def test_families() -> None:
    with luasocket.tcp() as either, luasocket.tcp4() as four, luasocket.tcp6() as six:
        assert [sock.getfamily() for sock in (either, four, six)] == ["inet4", "inet4", "inet6"]


async def test_close_may_be_done_again(do: Do, pair: Pair) -> None:
    assert pair.client.getfd() >= 0
    assert pair.client.close() == pair.client.close() == 1
    assert pair.client.getfd() == -1
    assert not pair.client.dirty()
    assert pair.client.getpeername()[0] is None
    assert await do(pair.client.connect, "127.0.0.1", 9) == (None, "closed")


def test_close_before_there_is_anything_to_close() -> None:
    sock = luasocket.tcp()
    assert sock.close() == 1
    assert sock.listen() == (None, "closed")


def test_forgotten_it_is_closed_with_a_warning_that_names_the_place() -> None:
    sock = luasocket.tcp4()
    assert sock.listen() == (1, None)
    fd = sock.getfd()
    with pytest.warns(ResourceWarning, match=rf"{Path(__file__).name}:\d+"):
        del sock
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


async def test_setfd_takes_over_and_gives_up(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"line\nrest")
    assert await do(pair.client.receive) == (b"line", None, None)
    fd = pair.client.getfd()
    assert pair.client.setfd(-1) is None  # type: ignore[func-returns-value]
    assert (pair.client.getfd(), pair.client.dirty()) == (-1, False)
    assert await do(pair.client.receive) == (None, "closed", b"")
    os.fstat(fd)  # is open
    pair.client.setfd(fd)
    assert pair.client.getfd() == fd
    pair.peer.sendall(b"again\n")
    assert await do(pair.client.receive) == (b"again", None, None)


def test_setfd_wants_a_descriptor_of_its_kind(pair: Pair) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        with pytest.raises(ValueError, match="is not a tcp socket"):
            pair.client.setfd(other.fileno())
    with pytest.raises(TypeError):
        pair.client.setfd("5")  # type: ignore[arg-type]
    assert pair.client.getfd() >= 0


# Statistics.


async def test_statistics_are_of_what_was_delivered(do: Do, pair: Pair) -> None:
    assert pair.client.getstats()[:2] == (0, 0)
    pair.peer.sendall(b"hello\r\nrest")
    assert await do(pair.client.receive) == (b"hello", None, None)
    assert pair.client.getstats()[:2] == (7, 0), "with the line's end, without what is in the buffer"
    assert await do(pair.client.receive, 2, b"prefix") == (b"prefix", None, None)
    assert await do(pair.client.send, b"12345", 2) == (5, None, None)
    assert pair.client.getstats()[:2] == (7, 4)
    pair.client.settimeout(0)
    assert await do(pair.client.receive) == (None, "timeout", b"rest")
    assert pair.client.getstats()[:2] == (11, 4)
    before = pair.client.getstats()[2]
    await do(luasocket.sleep, 0.01)
    assert pair.client.getstats()[2] - before >= 0.01
    pair.client.close()
    assert pair.client.getstats()[:2] == (11, 4)


async def test_statistics_can_be_set(do: Do, pair: Pair) -> None:
    assert pair.client.setstats(100, 200, 300) == 1
    received, sent, age = pair.client.getstats()
    assert (received, sent) == (100, 200)
    assert 300 <= age < 300 + LIMIT_S
    assert pair.client.setstats(sent=5) == 1
    assert pair.client.setstats() == 1
    assert pair.client.getstats()[:2] == (100, 5)
    await do(pair.client.send, b"x")
    assert pair.client.getstats()[1] == 6


def test_masters_and_servers_have_statistics_too() -> None:
    listener, _ = server()
    with listener, luasocket.tcp() as master:
        for sock in (listener, master):
            received, sent, age = sock.getstats()
            assert (received, sent) == (0, 0)
            assert 0 <= age < LIMIT_S


async def test_debug_adds_the_time_a_call_took(do: Do, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luasocket, "_DEBUG", True)
    last, _, _, elapsed = await do(pair.client.send, b"x")
    assert last == 1
    assert 0 <= elapsed < LIMIT_S
    pair.client.settimeout(0.02)
    *_, elapsed = await do(pair.client.receive)
    assert 0.02 <= elapsed < LIMIT_S
