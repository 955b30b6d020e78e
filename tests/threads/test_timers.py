"""The heap of timers, with a clock that is moved by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from socket2.threads.timers import Timer, Timers

ROOM = 128
"""How many more useless than useful entries the heap may hold."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Alarms:
    """Timers with names, and the names of those that fired, in order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.timers = Timers(clock)
        self.made: list[Timer] = []
        self.rung: list[str] = []

    def make(self, name: str = "", then: Callable[[], object] = lambda: None) -> Timer:
        def ring() -> None:
            self.rung.append(name)
            then()

        timer = Timer(self.timers, ring)
        self.made.append(timer)
        return timer

    def at(self, when: float, name: str, then: Callable[[], object] = lambda: None) -> Timer:
        timer = self.make(name, then)
        timer.arm(when)
        return timer

    def advance(self, to: float) -> list[str]:
        """Move the clock, let the timers fire, and return the names of those that did."""
        self.clock.now = to
        self.rung.clear()
        fired = self.timers.fire()
        assert fired == len(self.rung)
        return list(self.rung)

    def check(self) -> None:
        """Check that the count of useless entries is right, and within its limit."""
        useful = sum(timer.due is not None for timer in self.made)
        assert self.timers.useless == len(self.timers.heap) - useful
        assert self.timers.useless >= 0
        assert len(self.timers.heap) <= 2 * useful + ROOM


@pytest.fixture
def alarms(clock: Clock) -> Alarms:
    return Alarms(clock)


# When they fire.


def test_timers_fire_in_the_order_they_are_due(alarms: Alarms) -> None:
    for when in (1003, 1001, 1005, 1002, 1004):
        alarms.at(when, str(when))
    assert alarms.advance(1010) == ["1001", "1002", "1003", "1004", "1005"]


def test_timers_that_are_due_together_fire_in_the_order_they_were_armed(alarms: Alarms) -> None:
    for name in "caeb":
        alarms.at(1001, name)
    assert alarms.advance(1001) == ["c", "a", "e", "b"]


def test_a_timer_fires_when_it_is_due_and_not_a_moment_early(alarms: Alarms) -> None:
    alarms.at(1001.0, "a")
    assert alarms.advance(1000.9999999) == []
    assert alarms.advance(1001.0) == ["a"]


def test_a_timer_fires_once(alarms: Alarms) -> None:
    alarms.at(1001, "a")
    assert alarms.advance(1001) == ["a"]
    assert alarms.advance(2000) == []


def test_a_timer_that_is_armed_for_the_past_fires_at_once(alarms: Alarms) -> None:
    alarms.at(900, "a")
    assert alarms.advance(1000) == ["a"]


def test_no_timers_are_never_due(alarms: Alarms) -> None:
    assert alarms.timers.next_due() is None
    assert alarms.timers.fire() == 0


def test_the_next_one_is_due_no_later_than_any_timer(alarms: Alarms) -> None:
    late = alarms.at(1010, "late")
    assert alarms.timers.next_due() == 1010
    alarms.at(1005, "early")
    assert alarms.timers.next_due() == 1005
    late.arm(1002)
    assert alarms.timers.next_due() == 1002


# Moving and disarming.


def test_a_timer_moved_later_does_not_fire_at_its_old_time(alarms: Alarms) -> None:
    alarms.at(1001, "a").arm(1005)
    assert alarms.advance(1004) == []
    assert alarms.timers.next_due() == 1005
    assert alarms.advance(1005) == ["a"]


def test_a_timer_moved_earlier_fires_at_its_new_time_only(alarms: Alarms) -> None:
    alarms.at(1005, "a").arm(1001)
    assert alarms.advance(1001) == ["a"]
    assert alarms.advance(1005) == []
    alarms.check()


def test_a_timer_moved_to_and_fro_fires_at_the_last_time(alarms: Alarms) -> None:
    timer = alarms.at(1005, "a")
    for when in (1001, 1009, 1002, 1007, 1003):
        timer.arm(when)
    assert [alarms.advance(when) for when in range(1001, 1011)] == [[], [], ["a"], [], [], [], [], [], [], []]
    alarms.check()


def test_timers_that_were_moved_keep_the_order_they_are_due_when_the_loop_is_late(alarms: Alarms) -> None:
    moved = alarms.at(1001, "second")
    alarms.at(1003, "first")
    moved.arm(1005)
    assert alarms.advance(1010) == ["first", "second"]


def test_a_disarmed_timer_does_not_fire(alarms: Alarms) -> None:
    timer = alarms.at(1001, "a")
    timer.disarm()
    assert alarms.advance(2000) == []
    alarms.check()


def test_disarming_twice_or_what_was_never_armed_does_nothing(alarms: Alarms) -> None:
    timer = alarms.make()
    timer.disarm()
    timer.arm(1001)
    timer.disarm()
    timer.disarm()
    alarms.check()
    assert alarms.advance(2000) == []
    timer.disarm()
    alarms.check()


@pytest.mark.parametrize("when", [1002, 1005, 1008])
def test_a_disarmed_timer_can_be_armed_again_for_an_earlier_the_same_or_a_later_time(
    alarms: Alarms, when: float
) -> None:
    timer = alarms.at(1005, "a")
    timer.disarm()
    timer.arm(when)
    alarms.check()
    assert alarms.advance(when - 1) == []
    assert alarms.advance(when) == ["a"]
    assert alarms.advance(2000) == []
    alarms.check()


def test_a_timer_that_has_fired_can_be_armed_again(alarms: Alarms) -> None:
    timer = alarms.at(1001, "a")
    alarms.advance(1001)
    timer.arm(1002)
    assert alarms.advance(1002) == ["a"]


def test_a_timer_armed_again_for_a_time_it_was_moved_from_fires_once(alarms: Alarms) -> None:
    timer = alarms.at(1005, "a")
    timer.arm(1001)
    alarms.advance(1001)
    timer.arm(1005)  # the heap already has a useless entry for 1005
    alarms.check()
    assert alarms.advance(1005) == ["a"]
    assert alarms.advance(2000) == []
    alarms.check()


def test_a_sweep_keeps_one_entry_of_a_timer_that_came_back_to_an_old_time(alarms: Alarms) -> None:
    timer = alarms.at(1005, "a")
    timer.arm(1001)
    alarms.advance(1001)
    timer.arm(1005)
    for _ in range(ROOM):  # enough to make a sweep worthwhile
        alarms.at(1003, "never").disarm()
        alarms.check()
    assert alarms.advance(2000) == ["a"]
    alarms.check()


# Callbacks that touch timers.


def test_a_callback_that_arms_its_own_timer_is_called_once_per_time(alarms: Alarms) -> None:
    timer = alarms.make("tick", lambda: timer.arm(alarms.clock.now + 1))
    timer.arm(1001)
    assert [alarms.advance(when) for when in (1001, 1001.5, 1002, 1003, 1003)] == [
        ["tick"],
        [],
        ["tick"],
        ["tick"],
        [],
    ]
    alarms.check()


def test_a_callback_can_disarm_a_timer_that_is_due_too(alarms: Alarms) -> None:
    other = alarms.make("other")
    alarms.at(1001, "first", other.disarm)
    other.arm(1002)
    assert alarms.advance(1002) == ["first"]
    alarms.check()


def test_a_callback_can_disarm_so_many_timers_that_the_heap_is_swept(alarms: Alarms) -> None:
    doomed = [alarms.make("doomed") for _ in range(10 * ROOM)]

    def disarm_all() -> None:
        for timer in doomed:
            timer.disarm()

    alarms.at(1001, "first", disarm_all)
    for timer in doomed:
        timer.arm(1002)
    alarms.at(1003, "last")
    assert alarms.advance(1003) == ["first", "last"]
    assert alarms.timers.heap == []
    alarms.check()


def test_a_callback_that_raises_leaves_the_other_timers_armed(alarms: Alarms) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    alarms.at(1001, "bad", fail)
    alarms.at(1002, "good")
    with pytest.raises(ZeroDivisionError):
        alarms.advance(1002)
    assert alarms.advance(1002) == ["good"]
    alarms.check()


# What it costs.


@pytest.mark.parametrize("step", [1e-3, -1e-3], ids=["later", "earlier"])
def test_a_timer_that_is_moved_a_hundred_thousand_times_leaves_the_heap_small(alarms: Alarms, step: float) -> None:
    timer = alarms.make()
    for n in range(100_000):
        timer.arm(5000 + n * step)
        assert len(alarms.timers.heap) <= ROOM
    alarms.check()


def test_a_timer_that_is_armed_and_disarmed_a_hundred_thousand_times_leaves_the_heap_small(alarms: Alarms) -> None:
    timer = alarms.make()
    for n in range(100_000):
        timer.arm(5000 + n % 7)
        timer.disarm()
        assert len(alarms.timers.heap) <= ROOM
    alarms.check()


def test_timers_that_are_made_and_disarmed_leave_the_heap_small(clock: Clock) -> None:
    timers = Timers(clock)
    for n in range(200_000):
        timer = Timer(timers, lambda: None)
        timer.arm(5000 + n)
        timer.disarm()
        assert len(timers.heap) <= ROOM


def test_a_thousand_timers_that_move_all_the_time_leave_the_heap_no_larger_than_twice_that(alarms: Alarms) -> None:
    made = [alarms.at(5000, "") for _ in range(1000)]
    for n in range(20_000):
        made[n % 1000].arm(5000 - n)
        assert len(alarms.timers.heap) <= 2 * 1000 + ROOM
    alarms.check()


# Compared with the simplest model.


@pytest.mark.parametrize("seed", range(20))
def test_random_operations_do_what_a_list_of_due_times_would(clock: Clock, seed: int) -> None:
    """Whole seconds and a short horizon: the same times come up again and again."""
    rng = random.Random(seed)
    horizon = rng.choice((4, 12, 40))
    arming = rng.uniform(0.5, 0.95)
    timers = Timers(clock)
    rung: list[int] = []
    due: dict[int, float] = {}
    made = [Timer(timers, lambda n=n: rung.append(n)) for n in range(rng.choice((3, 30, 300)))]  # type: ignore[misc]

    def check() -> None:
        assert {n for n, timer in enumerate(made) if timer.due is not None} == due.keys()
        assert timers.useless == len(timers.heap) - len(due)
        assert len(timers.heap) <= 2 * len(due) + ROOM
        next_due = timers.next_due()
        assert next_due is not None or not due
        assert all(next_due is not None and next_due <= when for when in due.values())

    for _ in range(3000):
        n = rng.randrange(len(made))
        what = rng.random()
        if what < 0.02:
            clock.now += rng.choice((0, 1, 1, 2, 5))
            rung.clear()
            fired = timers.fire()
            expected = {n for n, when in due.items() if when <= clock.now}
            assert fired == len(rung)
            assert sorted(rung) == sorted(expected)
            for n in expected:
                del due[n]
        elif rng.random() < arming:
            due[n] = clock.now + rng.randrange(-1, horizon)
            made[n].arm(due[n])
        else:
            due.pop(n, None)
            made[n].disarm()
        check()
    clock.now += 100
    timers.fire()
    assert timers.heap == []
    assert timers.useless == 0
