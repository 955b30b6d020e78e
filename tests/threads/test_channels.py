"""Channels: an item is handed over or not, whoever waits, is cancelled or closes a clone."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest

from socket2 import (
    Cancelled,
    Closed,
    EndOfChannel,
    Operation,
    Receiver,
    Sender,
    WouldBlock,
    channel,
    newthread,
    run,
    serve_threads,
    sleep,
    threadset,
)

from .test_sync import ends, line_of, noting

Steps = Generator[Any, Any, Any]


def fails(make: Callable[[], Operation[Any]], error: type[BaseException]) -> Steps:
    """The very error, and none of its subclasses."""
    try:
        yield from make()
    except error as raised:
        assert type(raised) is error
    else:
        raise AssertionError(f"{error.__name__} was not raised")


@pytest.mark.parametrize("size", [None, 0, 1, 3])
def test_items_come_in_order(size: int | None) -> None:
    def producer(sender: Sender[int]) -> Steps:
        with sender:
            for item in range(50):
                yield from sender.send(item)

    async def consumer(receiver: Receiver[int]) -> list[int]:
        async with receiver:
            return [item async for item in receiver]

    def main() -> Steps:
        sender, receiver = channel[int](size)
        with threadset(keep_outcomes=True) as ts:
            ts.newthread(producer, sender)
            ts.newthread(consumer, receiver)
            return (yield from ts.join())

    assert run(main) == [None, list(range(50))]


def test_what_fits_in_is_sent_at_once() -> None:
    def main() -> Steps:
        sender, receiver = channel[Any](2)
        sender.send_nowait(1)
        yield from sender.send(2)
        with pytest.raises(WouldBlock, match="no room in a channel"):
            sender.send_nowait(3)
        assert (yield from receiver.receive()) == 1
        assert receiver.receive_nowait() == 2
        with pytest.raises(WouldBlock, match="no item of a channel"):
            receiver.receive_nowait()
        sender.send_nowait("last")
        sender.close()
        sender.close()
        assert sender.closed
        yield from fails(lambda: sender.send("too late"), Closed)
        with pytest.raises(Closed, match="this end of the channel is closed"):
            sender.send_nowait("too late")
        with pytest.raises(Closed, match="this end of the channel is closed"):
            sender.clone()
        assert receiver.receive_nowait() == "last"
        yield from fails(receiver.receive, EndOfChannel)
        with pytest.raises(EndOfChannel):
            receiver.receive_nowait()
        receiver.close()
        receiver.close()
        yield from fails(receiver.receive, Closed)
        with pytest.raises(Closed, match="this end of the channel is closed"):
            receiver.receive_nowait()
        with pytest.raises(Closed, match="this end of the channel is closed"):
            receiver.clone()

    run(main)


def test_a_rendezvous() -> None:
    def main() -> Steps:
        sender, receiver = channel[int]()
        with pytest.raises(WouldBlock):
            sender.send_nowait(1)
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()
        sending = newthread(sender.send, 1)
        assert not sending.done
        assert receiver.receive_nowait() == 1
        yield from sending.join()
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()
        receiving = newthread(receiver.receive)
        sender.send_nowait(2)
        with pytest.raises(WouldBlock):
            sender.send_nowait(3)
        assert (yield from receiving.join()) == 2

    run(main)


def test_no_limit() -> None:
    sender, receiver = channel[int](None)
    with sender:
        for item in range(1000):
            sender.send_nowait(item)

    async def main() -> list[int]:
        return [item async for item in receiver]

    assert run(main) == list(range(1000))


def test_sizes() -> None:
    for wrong, error in ((1.0, TypeError), ("x", TypeError), (-1, ValueError)):
        with pytest.raises(error):
            channel(wrong)  # type: ignore[arg-type]


def test_an_item_belongs_to_who_waits() -> None:
    """Nobody who comes later gets the item, or the room."""

    def main() -> Steps:
        sender, receiver = channel[int](1)
        receiving = newthread(receiver.receive)
        sender.send_nowait(2)
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()
        assert (yield from receiving.join()) == 2
        sender.send_nowait(1)
        sending = newthread(sender.send, 2)
        assert receiver.receive_nowait() == 1
        with pytest.raises(WouldBlock):
            sender.send_nowait(3)
        assert (yield from receiver.receive()) == 2
        yield from sending.join()

    run(main)


# Many producers and consumers.


def test_each_producer_closes_its_clone() -> None:
    async def producer(sender: Sender[int], first: int) -> None:
        async with sender:
            for item in range(first, first + 3):
                await sender.send(item)

    async def main() -> list[int]:
        sender, receiver = channel[int]()
        async with threadset() as ts:
            with sender:
                for at in range(10):
                    ts.newthread(producer, sender.clone(), 3 * at)
            got = [item async for item in receiver]
            await ts.join()
        return sorted(got)

    assert run(main) == list(range(30))


def test_consumers_take_turns() -> None:
    got: list[tuple[int, int]] = []

    async def consumer(receiver: Receiver[int], name: int) -> None:
        async for item in receiver:
            got.append((name, item))

    async def main() -> None:
        sender, receiver = channel[int](1)
        async with threadset() as ts:
            for name in range(5):
                ts.newthread(consumer, receiver, name)
            with sender:
                for item in range(10):
                    await sender.send(item)
            await ts.join()

    run(main)
    assert sorted(item for _, item in got) == list(range(10))
    assert {name for name, _ in got} == set(range(5))


# Cancellation.


@pytest.mark.parametrize("size", [0, 1])
def test_a_cancelled_send_has_sent_nothing(size: int) -> None:
    def main() -> Steps:
        sender, receiver = channel[Any](size)
        for at in range(size):
            sender.send_nowait(at)
        trail: list[Any] = []
        threads = [newthread(noting, trail, at, partial(sender.send, at)) for at in "abc"]
        threads[1].cancel()
        with pytest.raises(TimeoutError):
            yield from sender.send("late", 0.001)
        got = [receiver.receive_nowait() for _ in range(size + 2)]
        with pytest.raises(WouldBlock):
            receiver.receive_nowait()
        yield from ends(*threads)
        assert [*got[size:], *trail] == ["a", "c", "a", "c"]

    run(main)


def test_a_cancelled_receive_has_received_nothing() -> None:
    def main() -> Steps:
        sender, receiver = channel[str]()
        with pytest.raises(TimeoutError):
            yield from receiver.receive(0.001)
        trail: list[Any] = []
        threads = line_of(trail, 4, receiver.receive)
        threads[1].cancel()
        for item in "abc":
            sender.send_nowait(item)
        threads[3].cancel()  # too late: it has its item
        yield from ends(*threads)
        assert trail == [(0, "a"), (2, "b"), (3, "c")]
        assert isinstance(threads[1].error, Cancelled)

    run(main)


def test_an_item_that_a_closed_generator_had_received_goes_to_the_next_or_back() -> None:
    def main() -> Steps:
        for second in (True, False):
            sender, receiver = channel[str](1)
            trail: list[Any] = []
            dropped = receiver.receive().__iter__()
            next(dropped)
            threads = line_of(trail, 1, receiver.receive) if second else []
            sender.send_nowait("item")
            dropped.close()
            yield from ends(*threads)
            assert trail == ([(0, "item")] if second else [])
            assert second or receiver.receive_nowait() == "item"

    run(main)


def test_an_item_that_comes_back_after_the_last_receiver_was_closed_is_dropped() -> None:
    def main() -> Steps:
        sender, receiver = channel[str](1)
        dropped = receiver.receive().__iter__()
        next(dropped)
        sender.send_nowait("item")
        receiver.close()
        dropped.close()
        assert "0 of 1" in repr(sender)
        yield from ()

    run(main)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("size", [None, 0, 2])
def test_no_item_is_lost_whatever_is_cancelled(size: int | None, members: int) -> None:
    dice = random.Random(members)
    sent: list[int] = []
    got: list[int] = []

    def producer(sender: Sender[int], first: int) -> Steps:
        with sender:
            for item in range(first, first + 20):
                try:
                    yield from sender.send(item, dice.choice([None, None, 0, 0.001]))
                    sent.append(item)
                except TimeoutError:
                    pass
                yield from sleep(0)

    def consumer(receiver: Receiver[int]) -> Steps:
        with receiver:
            while True:
                try:
                    got.append((yield from receiver.receive(dice.choice([None, None, 0, 0.001]))))
                except TimeoutError:
                    pass
                except EndOfChannel:
                    return
                yield from sleep(0)

    def main() -> Steps:
        sender, receiver = channel[int](size)
        producers = [newthread(producer, sender.clone(), at * 100) for at in range(8)]
        consumers = [newthread(consumer, receiver.clone()) for _ in range(4)]
        sender.close()
        for at in range(20):
            yield from sleep(0.0003)
            dice.choice(consumers).cancel()
            consumers.append(newthread(consumer, receiver.clone()))
            if at % 5 == 0:
                dice.choice(producers).cancel()
        yield from ends(*producers)
        yield from ends(*consumers)
        assert repr(receiver).startswith("<Receiver, 0 of")
        assert "0 senders, 1 receivers, 0 sending, 0 receiving" in repr(receiver)

    thread = newthread(main)
    assert serve_threads(members)
    assert thread.result() is None
    assert sorted(got) == sorted(sent)
