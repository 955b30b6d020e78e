"""Addresses: values that are not hosts, the form of an answer, and lookups that take time."""

from __future__ import annotations

import os
import signal
import socket
import threading
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import Address, AddressList, Cancelled, addr, newthread, sleep, timeout

from ..interop.peers import LIMIT_S, run
from . import test_addr
from .test_addr import Resolver, address, asking_for, look_up, sockaddrs

resolver = test_addr.resolver


# Values that are not hosts.


@pytest.mark.parametrize("host", [5, 1.5, True, [], object(), bytearray(b"127.0.0.1")])
def test_a_host_of_another_type_is_a_type_error(host: Any) -> None:
    with pytest.raises(TypeError, match="host"):
        addr(host)


@pytest.mark.parametrize("host", ["127.0.0.1\0", "\0", b"a\0b"])
def test_a_host_with_a_nul_is_a_value_error(host: Any) -> None:
    with pytest.raises(ValueError, match="NUL"):
        addr(host)


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", "\udcff.test"], ids=["long", "empty", "surrogate"])
def test_a_host_that_cannot_be_a_name_is_a_value_error(host: str) -> None:
    with pytest.raises(ValueError, match=r"label|surrogate|encod|not a valid host name"):
        look_up(host)


def test_a_name_that_does_not_exist_is_a_failed_look_up() -> None:
    with pytest.raises(socket.gaierror):
        look_up("nosuchhost.invalid", 80)


ONE, TWO, THREE = (
    address("192.0.2.1", 80, name="one.test"),
    address("2001:db8::2", 80, "inet6"),
    address("192.0.2.3", 0),
)
LIST = AddressList([ONE, TWO, THREE])


def test_an_address_list_is_a_sequence() -> None:
    assert len(LIST) == 3
    assert list(LIST) == [ONE, TWO, THREE]
    assert LIST[0] is ONE
    assert LIST[-1] is THREE
    assert list(LIST[1:]) == [TWO, THREE]
    assert list(reversed(LIST)) == [THREE, TWO, ONE]
    assert TWO in LIST
    assert address("192.0.2.9", 80) not in LIST
    assert (LIST.index(TWO), LIST.count(ONE)) == (1, 1)
    with pytest.raises(IndexError):
        LIST[3]


def test_next_goes_through_the_list() -> None:
    assert LIST.next() is ONE
    assert LIST.next(ONE) is TWO
    assert LIST.next(TWO) is THREE
    assert LIST.next(THREE) is None
    assert AddressList([]).next() is None


def test_next_of_a_stranger_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not in"):
        LIST.next(address("192.0.2.9", 80))


def test_addrs_iterates() -> None:
    found = LIST.addrs()
    assert iter(found) is found
    assert list(found) == [ONE, TWO, THREE]


def test_the_attributes_of_a_list_are_those_of_its_first_address() -> None:
    assert (LIST.type, LIST.family, LIST.protocol, LIST.name) == ("tcp", "inet", "tcp", "one.test")


def test_a_freed_list_is_empty_and_can_be_freed_again() -> None:
    found = AddressList([ONE])
    found.free()
    found.free()
    assert (len(found), list(found.addrs()), found.next(), str(found)) == (0, [], None, "")
    with pytest.raises(IndexError):
        _ = found.family


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (ONE, "192.0.2.1:80"),
        (TWO, "[2001:db8::2]:80"),
        (THREE, "192.0.2.3"),
        (address("::", 0, "inet6"), "::"),
        (Address("unix", "stream", 0, None, "/run/s"), "/run/s"),
        (Address("unix", "stream", 0, None, b"/run/s"), "/run/s"),
        (Address("unix", "stream", 0, None, "\0name"), "@name"),
        (Address("unix", "stream", 0, None, b"\0name"), "@name"),
        (Address("unix", "stream", 0, None, ""), ""),
    ],
)
def test_an_address_as_text(found: Address, text: str) -> None:
    assert str(found) == text
    assert str(AddressList([found, ONE])) == text


def test_an_address_has_a_host_and_a_port() -> None:
    assert (ONE.host, ONE.port) == ("192.0.2.1", 80)
    assert (TWO.host, TWO.port) == ("2001:db8::2", 80)
    unix = Address("unix", "stream", 0, None, b"\0name")
    assert (unix.host, unix.port) == ("@name", 0)


def test_addresses_can_be_compared_and_kept_in_sets() -> None:
    assert {ONE, address("192.0.2.1", 80, name="one.test"), TWO} == {ONE, TWO}


def test_what_has_no_name_here_is_told_by_its_number(resolver: Resolver) -> None:
    resolver.answers.set()
    resolver.outcome = lambda *args: [(77, 78, 79, "", ("x", 0))]
    (found,) = look_up("peer.test", family=None)
    assert (found.family, found.type, found.protocol) == ("77", "78", 79)


# Lookups that take time.


def test_a_name_is_looked_up_in_an_os_thread_while_others_run(resolver: Resolver) -> None:
    async def main() -> AddressList:
        asking = newthread(asking_for, "peer.test", "80")
        resolver.wait_for(1)
        assert not asking.done
        await sleep(0)  # the loop runs
        resolver.answers.set()
        found: AddressList = await asking.join()
        return found

    assert sockaddrs(run(main)) == [("192.0.2.7", 80)]
    assert resolver.os_threads.isdisjoint({threading.current_thread()})
    assert resolver.asked == [("peer.test", 80, socket.AF_INET, socket.SOCK_STREAM, 6, 0)]


def test_no_more_than_sixteen_names_are_looked_up_at_a_time(resolver: Resolver) -> None:
    async def main() -> None:
        before = set(threading.enumerate())
        asking = [newthread(asking_for, f"peer{n}.test") for n in range(40)]
        resolver.wait_for(16)
        assert len(set(threading.enumerate()) - before) == 16
        assert [args[0] for args in resolver.asked] == [f"peer{n}.test" for n in range(16)]
        resolver.answers.set()
        for thread in asking:
            assert sockaddrs(await thread.join()) == [("192.0.2.7", 80)]

    run(main)
    assert len(resolver.asked) == 40
    assert len(resolver.os_threads) <= 16


def test_a_literal_needs_no_place_among_the_sixteen(resolver: Resolver) -> None:
    async def main() -> None:
        asking = [newthread(asking_for, f"peer{n}.test") for n in range(20)]
        resolver.wait_for(16)
        assert (await addr("127.0.0.1", 80))[0].port == 80
        resolver.answers.set()
        for thread in asking:
            await thread.join()

    run(main)


def test_a_cancelled_look_up_frees_its_waiter_while_getaddrinfo_still_blocks(resolver: Resolver) -> None:
    async def main() -> None:
        asking = newthread(asking_for, "peer.test")
        resolver.wait_for(1)
        asking.cancel()
        with pytest.raises(Cancelled):
            await asking.join()
        assert not resolver.answers.is_set()

    run(main)


def test_a_look_up_that_is_out_of_time_frees_its_waiter_while_getaddrinfo_still_blocks(resolver: Resolver) -> None:
    async def main() -> None:
        began = monotonic()
        with pytest.raises(TimeoutError), timeout(0.02):
            await addr("peer.test")
        assert 0.02 <= monotonic() - began < LIMIT_S / 2
        assert not resolver.answers.is_set()

    run(main)


def test_a_socket_timeout_covers_the_look_up(resolver: Resolver) -> None:
    async def main() -> None:
        with socket2.tcp() as sock:
            sock.settimeout(0.02)
            with pytest.raises(TimeoutError):
                await sock.connect("peer.test", 80)
            assert not sock.closed

    run(main)


def test_an_answer_that_comes_too_late_goes_to_nobody(resolver: Resolver) -> None:
    async def main() -> AddressList:
        with pytest.raises(TimeoutError), timeout(0.02):
            await addr("slow.test")
        resolver.outcome = lambda host, port, *args: [(2, 1, 6, "", (host, port))]
        resolver.answers.set()
        return await addr("next.test", 80)

    assert sockaddrs(run(main)) == [("next.test", 80)]


def test_a_look_up_that_is_cancelled_before_its_turn_is_never_made(resolver: Resolver) -> None:
    async def main() -> None:
        asking = [newthread(asking_for, f"peer{n}.test") for n in range(17)]
        resolver.wait_for(16)
        asking[16].cancel()
        resolver.answers.set()
        for thread in asking[:16]:
            await thread.join()
        with pytest.raises(Cancelled):
            await asking[16].join()

    run(main)
    assert "peer16.test" not in [args[0] for args in resolver.asked]


def test_getaddrinfos_error_comes_through_as_it_is(resolver: Resolver) -> None:
    failure = socket.gaierror(socket.EAI_AGAIN, "try again")

    def fail(*args: Any) -> Any:
        raise failure

    resolver.outcome = fail
    resolver.answers.set()
    with pytest.raises(socket.gaierror) as caught:
        look_up("peer.test", 80)
    assert caught.value is failure


def test_nothing_is_asked_until_it_is_awaited(resolver: Resolver) -> None:
    async def main() -> None:
        asking = addr("peer.test", 80)
        await sleep(0)
        assert resolver.asked == []
        resolver.answers.set()
        await asking

    run(main)
    assert len(resolver.asked) == 1


def test_a_look_up_needs_a_thread(resolver: Resolver) -> None:
    with pytest.raises(RuntimeError, match="inside a thread"):
        next(iter(addr("peer.test", 80)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_looks_up_on_its_own(resolver: Resolver) -> None:
    """All OS threads of the parent's pool are busy."""

    async def main() -> None:
        asking = [newthread(asking_for, f"parent{n}.test") for n in range(16)]
        resolver.wait_for(16)
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends the child if it hangs
            resolver.answers = threading.Event()
            resolver.answers.set()
            os._exit(0 if sockaddrs(look_up("child.test", 80)) == [("192.0.2.7", 80)] else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        resolver.answers.set()
        for thread in asking:
            await thread.join()

    run(main)


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..b", ".a", "\ud800"])
def test_what_cannot_be_a_name_is_refused_by_the_call(host: str) -> None:
    with pytest.raises(ValueError, match="idna|name|codec"):
        socket2.addr(host, 1)


def test_a_bool_is_no_port() -> None:
    with pytest.raises(TypeError):
        socket2.addr("127.0.0.1", True)


def test_an_empty_answer_is_a_gaierror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
    with pytest.raises(socket.gaierror):
        look_up("peer.test", 80)


def test_the_text_of_an_address_keeps_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_indextoname", lambda index: "eth0")
    assert str(socket2.Address("inet6", "tcp", "tcp", None, ("fe80::1", 80, 0, 2))) == "[fe80::1%eth0]:80"
    assert str(socket2.Address("inet6", "tcp", "tcp", None, ("fe80::1", 0, 0, 2))) == "fe80::1%eth0"
    assert str(socket2.Address("inet6", "tcp", "tcp", None, ("::1", 80, 0, 0))) == "[::1]:80"
