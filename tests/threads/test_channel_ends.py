"""The ends of channels: they are closed on their own, each side learns of the other's end, and what they look like."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    BrokenChannel,
    Closed,
    EndOfChannel,
    Operation,
    Thread,
    channel,
    newthread,
    run,
    sleep,
)
from socket2.threads.lock import lock

from ..garbage import left_by
from .test_channels import fails

Steps = Generator[Any, Any, Any]


def failing(make: Callable[[], Operation[Any]], error: type[BaseException]) -> Thread[Any]:
    return newthread(fails, make, error)


# Closing.


def test_closing_a_sender() -> None:
    def main() -> Steps:
        sender, receiver = channel[int]()
        waiting = [failing(lambda: sender.send(1), Closed) for _ in range(3)]
        sender.close()
        for thread in waiting:
            yield from thread.join()
        yield from fails(receiver.receive, EndOfChannel)

        sender, receiver = channel[int]()
        waiting = [failing(receiver.receive, EndOfChannel) for _ in range(3)]
        sender.close()
        for thread in waiting:
            yield from thread.join()

    run(main)


def test_closing_a_receiver() -> None:
    def main() -> Steps:
        sender, receiver = channel[int]()
        waiting = [failing(lambda: sender.send(1), BrokenChannel) for _ in range(3)]
        receiver.close()
        for thread in waiting:
            yield from thread.join()
        yield from fails(lambda: sender.send(1), BrokenChannel)
        with pytest.raises(BrokenChannel, match="all receivers"):
            sender.send_nowait(1)

        sender, receiver = channel[int]()
        waiting = [failing(receiver.receive, Closed) for _ in range(3)]
        receiver.close()
        for thread in waiting:
            yield from thread.join()

    run(main)


def test_the_items_that_are_left_are_dropped_with_the_last_receiver() -> None:
    dropped: list[str] = []
    sender, receiver = channel[Any](None)

    class Item:
        def __del__(self) -> None:
            with pytest.raises(BrokenChannel):
                sender.send_nowait("from a destructor")
            dropped.append("item")

    clone = receiver.clone()
    sender.send_nowait(Item())
    receiver.close()
    assert not dropped
    clone.close()
    assert dropped == ["item"]


def test_closing_one_of_several_ends() -> None:
    def main() -> Steps:
        sender, receiver = channel[str]()
        other_sender, other_receiver = sender.clone(), receiver.clone()
        closed = failing(lambda: sender.send("never"), Closed)
        sending = newthread(other_sender.send, "item")
        sender.close()
        yield from closed.join()
        assert (yield from receiver.receive()) == "item"
        yield from sending.join()

        closed = failing(receiver.receive, Closed)
        receiving = newthread(other_receiver.receive)
        receiver.close()
        yield from closed.join()
        yield from other_sender.send("item")
        assert (yield from receiving.join()) == "item"

        third = other_receiver.clone()
        other_receiver.close()
        sending = newthread(other_sender.send, "still")
        assert third.receive_nowait() == "still"
        yield from sending.join()
        third.close()
        with pytest.raises(BrokenChannel):
            other_sender.send_nowait("x")

    run(main)


def test_one_who_waits_gets_the_error_and_each_has_its_own() -> None:
    def main() -> Steps:
        sender, receiver = channel[int]()
        threads = [newthread(receiver.receive) for _ in range(2)]
        sender.close()
        yield from ends_with(threads, EndOfChannel)
        assert threads[0].error is not threads[1].error

    def ends_with(threads: list[Thread[Any]], error: type[BaseException]) -> Steps:
        for thread in threads:
            with pytest.raises(error):
                yield from thread.join()

    run(main)


# What else there is to say.


def test_who_sends_and_receives_at_once_lets_others_run() -> None:
    others: list[int] = []

    def other() -> Steps:
        for at in range(3):
            yield from sleep(0)
            others.append(at)

    def main() -> Steps:
        sender, receiver = channel[int](1)
        newthread(other)
        for item in range(500):
            yield from sender.send(item)
            assert (yield from receiver.receive()) == item
        assert others == [0, 1, 2]

    run(main)


def test_ends_say_what_they_are_and_who_waits() -> None:
    def main() -> Steps:
        sender, receiver = channel[int](1)
        sender.send_nowait(1)
        thread = newthread(sender.send, 2)
        assert "waiting: <room in a channel>" in repr(thread)
        assert repr(sender) == "<Sender, 1 of 1, 1 senders, 1 receivers, 1 sending, 0 receiving>"
        sender.close()
        assert repr(sender) == "<Sender (closed), 1 of 1, 0 senders, 1 receivers, 0 sending, 0 receiving>"
        yield from fails(thread.join, Closed)
        receiver.receive_nowait()

    run(main)
    sender, receiver = channel[int](None)
    assert sender
    assert receiver
    assert repr(receiver) == "<Receiver, 0 of any number, 1 senders, 1 receivers, 0 sending, 0 receiving>"


def test_a_loop_whose_threads_wait_for_items_is_at_its_end() -> None:
    sender, receiver = channel[int]()

    def main() -> Steps:
        yield from receiver.receive()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)
    sender.close()
    run(lambda: sleep(0))


def test_errors_leave_no_cycle() -> None:
    def waits(make: Callable[[], Operation[Any]]) -> Steps:
        with pytest.raises(BrokenChannel):
            yield from make()

    def main() -> Steps:
        sender, receiver = channel[int](1)
        with pytest.raises(TimeoutError):
            yield from receiver.receive(0)
        sender.send_nowait(1)
        with pytest.raises(TimeoutError):
            yield from sender.send(2, 0)
        newthread(waits, lambda: sender.send(2))
        receiver.close()
        yield from sleep(0)
        sender.close()
        with pytest.raises(Closed):
            yield from receiver.receive()

    assert left_by(lambda: run(main)) == []


def test_a_block_that_a_finalizer_ends_in_the_middle_of_a_change_closes_its_end_later() -> None:
    def main() -> Steps:
        sender, receiver = channel[int](1)

        def inner() -> Steps:
            with sender, receiver:
                yield from sleep(0)

        steps = inner()
        next(steps)
        with lock:
            steps.close()
            assert (sender.closed, receiver.closed) == (False, False)
        yield from sleep(0)
        assert (sender.closed, receiver.closed) == (True, True)

    run(main)
