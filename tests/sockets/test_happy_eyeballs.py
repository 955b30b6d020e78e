"""connect() over several addresses: happy eyeballs."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
from contextlib import ExitStack
from time import monotonic
from typing import Any

import pytest

from socket2 import TCP, Address, AddressList, connect, listen, newthread, sleep
from socket2.sockets.eyeballs import interleaved
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, run
from ..machine import needs_ipv6
from . import test_connect_by_name
from .test_connect_by_name import at, black_hole, connected_to, refusing
from .test_udp import needs_unix

alive = test_connect_by_name.alive
names = test_connect_by_name.names


# Several addresses.


def test_families_take_turns_and_the_first_one_begins() -> None:
    a6, b6, c6 = (at(f"2001:db8::{n}", 80) for n in (1, 2, 3))
    a4, b4 = (at(f"192.0.2.{n}", 80) for n in (1, 2))
    assert interleaved([a6, b6, c6, a4, b4]) == [a6, a4, b6, b4, c6]
    assert interleaved([a4, a6, b6, c6]) == [a4, a6, b6, c6]
    assert interleaved([a4, b4, a4]) == [a4, b4]
    assert interleaved([]) == []


async def seconds_to(where: Any, reaching: Address) -> float:
    """Return how long connect() takes: the best of three, since the machine may be busy."""
    times = []
    for _ in range(3):
        began = monotonic()
        assert await connected_to(where) == reaching.sockaddr
        times.append(monotonic() - began)
        if times[-1] < 0.4:
            break
    return min(times)


def test_a_black_hole_costs_a_quarter_of_a_second(alive: Address) -> None:
    async def main() -> None:
        with black_hole() as hole:
            assert 0.25 <= await seconds_to(AddressList([hole, alive]), alive) < 0.4

    run(main)


@needs_ipv6
def test_a_name_whose_first_family_is_a_black_hole(names: dict[str, list[Address]], alive: Address) -> None:
    """Broken IPv6 looks like this. The third address is never tried."""

    async def main() -> None:
        with black_hole("::1") as hole, black_hole("127.0.0.1") as third:
            names["peer.test"] = [hole, alive, third]
            assert 0.25 <= await seconds_to("peer.test:80", alive) < 0.4

    run(main)


def test_the_first_address_that_answers_is_the_only_one(alive: Address) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as second:
            second.setblocking(False)
            assert await connected_to(AddressList([alive, at(*second.getsockname())])) == alive.sockaddr
            with pytest.raises(BlockingIOError):
                second.accept()

    run(main)


def test_an_address_that_refuses_costs_nothing(alive: Address) -> None:
    async def main() -> None:
        began = monotonic()
        many = AddressList([refusing(), refusing(), refusing(), alive])
        assert await connected_to(many, delay_s=LIMIT_S) == alive.sockaddr
        assert monotonic() - began < LIMIT_S / 2

    run(main)


@needs_unix
def test_a_slow_first_address_can_still_win(tmp_path: pathlib.Path) -> None:
    """Its attempt continues while others are made. A UNIX listener answers as soon as its queue has room."""

    async def main() -> None:
        with ExitStack() as stack:
            slow = stack.enter_context(listen(tmp_path / "s", backlog=0))
            first = Address("unix", "stream", 0, None, slow.getsockname())
            stack.enter_context(await connect(first))  # this fills the queue
            hole = stack.enter_context(black_hole())
            connecting = newthread(connected_to(AddressList([first, hole]), delay_s=0))
            while len(current_scheduler().threads) < 4:
                await sleep(0)
            (await slow.accept()).close()
            assert await connecting.join() == slow.getsockname()
            (await slow.accept()).close()

    run(main)


def test_when_all_refuse_that_is_the_error_and_each_is_named() -> None:
    where = [refusing(), refusing(), refusing()]

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match="cannot connect") as failure:
            await connect(AddressList(where))
        assert failure.value.errno == errno.ECONNREFUSED
        for address in where:
            assert f"{address}: {os.strerror(errno.ECONNREFUSED)}" in str(failure.value)
        cause = failure.value.__cause__
        assert isinstance(cause, ExceptionGroup)
        assert [type(error) for error in cause.exceptions] == [ConnectionRefusedError] * 3

    run(main)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Addresses that fail with an errno: host -> errno, which the test adds."""
    known: dict[str, int] = {}
    really = TCP.connect

    def connect(self: TCP, host: Any, port: Any = 0) -> Any:
        if host.host in known:
            raise OSError(known[host.host], os.strerror(known[host.host]))
        return really(self, host, port)

    monkeypatch.setattr(TCP, "connect", connect)
    return known


def test_errors_of_several_kinds_are_one_os_error(errors: dict[str, int]) -> None:
    errors["192.0.2.1"] = errno.ETIMEDOUT
    where = [refusing(), at("192.0.2.1", 9)]

    async def main() -> None:
        with pytest.raises(OSError, match="cannot connect") as failure:
            await connect(AddressList(where))
        assert type(failure.value) is OSError
        assert failure.value.errno == errno.ETIMEDOUT
        cause = failure.value.__cause__
        assert isinstance(cause, ExceptionGroup)
        assert {type(error) for error in cause.exceptions} == {ConnectionRefusedError, TimeoutError}
        assert f"{where[0]}: {os.strerror(errno.ECONNREFUSED)}" in str(failure.value)
        assert f"192.0.2.1:9: {os.strerror(errno.ETIMEDOUT)}" in str(failure.value)

    run(main)


def test_a_network_that_this_host_has_not_does_not_hide_the_reason(errors: dict[str, int]) -> None:
    """IPv4 refuses and there is no IPv6: the error is ECONNREFUSED, and names both."""
    errors["192.0.2.6"] = errno.ENETUNREACH
    errors["192.0.2.7"] = errno.ENETUNREACH
    where = [at("192.0.2.6", 9), refusing()]

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match=os.strerror(errno.ENETUNREACH)):
            await connect(AddressList(where))
        with pytest.raises(OSError, match="cannot connect") as failure:
            await connect(AddressList([where[0], at("192.0.2.7", 9)]))
        assert failure.value.errno == errno.ENETUNREACH

    run(main)
