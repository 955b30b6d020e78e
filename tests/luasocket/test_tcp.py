"""TCP objects: what they are, and how they are bound, connected, accepted and closed."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import luasocket
from socket2.threads import osthreads

from ..interop.peers import LIMIT_S, refusing_port, swallowing
from ..machine import has_ipv6, needs_ipv6
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
            assert err is None
            client.close()


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
            client.settimeout(0.05)
            assert await do(client.connect, name, port) == (1, None)
            assert client.getpeername()[0] == "127.0.0.1"
        name = addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
        with luasocket.tcp() as client:
            client.settimeout(0.05, "t")
            assert await do(client.connect, name, port) == (None, "timeout")
    port = refusing_port()
    with swallowing("127.0.0.2", port), luasocket.tcp() as client:
        client.settimeout(0.05)
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
