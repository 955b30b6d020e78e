"""Datagram sockets that several threads use, and destinations that refuse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from socket2 import UDP, Cancelled, Closed, Thread, newthread, sleep, timeout, udp

from ..interop.peers import free_refusing_ports, run
from . import test_udp
from .test_udp import receive, refusing

a = test_udp.a
b = test_udp.b


# Several threads.


def test_receivers_take_turns_in_the_order_they_came(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(5)]
        for n in range(5):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2", b"3", b"4"]

    run(main)


def test_receivers_of_every_kind_stand_in_one_line(a: UDP, b: UDP) -> None:
    buffers = [bytearray(1), bytearray(1)]

    async def first() -> Any:
        return await b.recv_into(buffers[0])

    async def second() -> Any:
        return await b.recvfrom(1)

    async def third() -> Any:
        return await b.recvfrom_into(buffers[1])

    async def main() -> None:
        receivers = [newthread(func) for func in (first, second, third, partial(receive, b))]
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        sender = a.getsockname()
        assert [await receiver.join() for receiver in receivers] == [1, (b"1", sender), (1, sender), b"3"]
        assert buffers == [b"0", b"2"]

    run(main)


def test_receivers_that_come_back_for_more_share_fairly(a: UDP, b: UDP) -> None:
    taken: list[str] = []

    async def take(name: str) -> None:
        for _ in range(3):
            await b.recv(1)
            taken.append(name)

    async def main() -> None:
        receivers = [newthread(take, name) for name in "xyz"]
        for _ in range(9):
            await a.sendto(b".", *b.getsockname())
            await sleep(0)
        for receiver in receivers:
            await receiver.join()

    run(main)
    assert "".join(taken) == "xyzxyzxyz"


@pytest.mark.parametrize("leaver", [0, 1, 2, 3], ids=["first", "second", "third", "last"])
def test_a_cancelled_receiver_takes_no_datagram_from_the_others(a: UDP, b: UDP, leaver: int) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(4)]
        receivers[leaver].cancel()
        with pytest.raises(Cancelled):
            await receivers.pop(leaver).join()
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2"]
        assert await b.recv(100) == b"3"

    run(main)


@pytest.mark.parametrize("leaver", [0, 1, 2, 3], ids=["first", "second", "third", "last"])
def test_a_receiver_out_of_time_takes_no_datagram_from_the_others(a: UDP, b: UDP, leaver: int) -> None:
    async def impatient() -> None:
        with timeout(0.005):
            await b.recv(100)

    async def main() -> None:
        funcs: list[Callable[[], Any]] = [partial(receive, b)] * 3
        funcs.insert(leaver, impatient)
        receivers = [newthread(func) for func in funcs]
        with pytest.raises(TimeoutError):
            await receivers.pop(leaver).join()
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2"]
        assert await b.recv(100) == b"3"

    run(main)


def test_all_in_line_run_out_of_the_sockets_time_and_lose_nothing(a: UDP, b: UDP) -> None:
    async def main() -> None:
        b.settimeout(0.005, "read")
        receivers = [newthread(receive, b) for _ in range(3)]
        for receiver in receivers:
            with pytest.raises(TimeoutError):
                await receiver.join()
        await a.sendto(b"kept", *b.getsockname())
        assert await b.recv(100) == b"kept"

    run(main)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_receiver_that_goes_when_its_turn_has_come_hands_it_on(a: UDP, b: UDP, how: str) -> None:
    """The first has its datagram. It is the second's turn, and it is cancelled before it learns this."""
    second = receive(b)

    async def first() -> None:
        await b.recv(100)
        if how == "cancelled":
            threads[1].cancel()
        else:
            second.close()

    async def main() -> None:
        threads.extend(newthread(func) for func in (first, second, partial(receive, b)))
        await a.sendto(b"1", *b.getsockname())
        await threads[0].join()
        await a.sendto(b"2", *b.getsockname())
        assert await threads[2].join() == b"2"

    threads: list[Thread[object]] = []
    run(main)
    assert threads[1].done


def test_closing_ends_the_wait_of_everybody_in_line(b: UDP) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(3)]
        b.close()
        for receiver in receivers:
            with pytest.raises(Closed):
                await receiver.join()

    run(main)


def test_receiving_and_sending_go_on_at_the_same_time(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receiver = newthread(receive, a)
        await a.sendto(b"ping", *b.getsockname())
        assert await b.recv(100) == b"ping"
        await b.sendto(b"pong", *a.getsockname())
        assert await receiver.join() == b"pong"

    run(main)


# Refused ones.


def test_a_refused_datagram_is_told_by_the_next_receive_and_the_socket_is_well(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.connect("127.0.0.1", refusing())
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await a.recv(100)
        await a.connect(*b.getsockname())
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)


def test_a_refused_datagram_is_told_by_the_next_send_and_only_once(a: UDP) -> None:
    async def main() -> None:
        port = refusing()
        await a.connect("127.0.0.1", port)
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await a.send(b"not sent")
        free_refusing_ports()
        with udp() as late:
            late.bind("127.0.0.1", port)
            await a.send(b"hello")
            assert await late.recv(100) == b"hello"

    run(main)


def test_a_receiver_that_waits_is_told_of_a_refusal(a: UDP) -> None:
    async def main() -> None:
        await a.connect("127.0.0.1", refusing())
        receiver = newthread(receive, a)
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await receiver.join()

    run(main)


def test_an_unconnected_socket_is_not_told_of_refusals(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.sendto(b"nobody is there", "127.0.0.1", refusing())
        await a.sendto(b"hello", *b.getsockname())
        assert await b.recv(100) == b"hello"

    run(main)
