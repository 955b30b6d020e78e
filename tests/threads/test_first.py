"""first(): which call wins, what becomes of the others, and what happens if none succeeds; what both refuse.

See test_gathering.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from socket2 import Cancelled, Event, Operation, currentthread, first, gather, newthread, run, sleep, suspend

from . import test_group
from .test_gathering import Steps, fails, fails_in_its_cleanup, number, octets, stubborn, text

crashes = test_group.crashes


def test_the_first_that_succeeds_wins_and_the_others_end(crashes: list[str]) -> None:
    trail: list[Any] = []

    def main() -> Steps:
        won = yield from first(
            partial(fails, ValueError("before")),
            partial(stubborn, trail, 1),
            partial(number, 5),
            partial(stubborn, trail, 2),
        )
        assert won == 5
        assert trail == [1, 2]

    run(main)
    assert not crashes


def test_no_call_begins_after_one_has_succeeded() -> None:
    begun: list[int] = []

    async def succeeds_at_once() -> int:
        return 5

    async def begins() -> None:
        begun.append(1)

    def main() -> Steps:
        assert (yield from first(succeeds_at_once, begins, text(), octets(), number(1))) == 5

    run(main)
    assert not begun


def test_if_all_fail_their_errors_are_a_group_in_the_order_of_the_calls() -> None:
    def main() -> Steps:
        later = Event()

        def opens() -> Steps:
            yield from sleep(0)
            later.set()
            raise KeyError(2)

        victim = newthread(suspend)
        with pytest.raises(ExceptionGroup, match="none of 2 calls succeeded") as caught:
            yield from first(partial(fails, ValueError(1), later), opens)
        assert [repr(error) for error in caught.value.exceptions] == ["ValueError(1)", "KeyError(2)"]
        with pytest.raises(ExceptionGroup, match="none of 1 calls") as alone:
            yield from first(partial(fails, ValueError(3)))
        assert [repr(error) for error in alone.value.exceptions] == ["ValueError(3)"]
        victim.cancel()
        with pytest.raises(BaseExceptionGroup) as cancelled:
            yield from first(victim.join, partial(fails, ValueError(4)))
        assert [type(error) for error in cancelled.value.exceptions] == [Cancelled, ValueError]

    run(main)


def test_somebody_elses_cancel_fails_one_call_only() -> None:
    def ends_itself() -> Steps:
        currentthread().cancel()
        yield from sleep(0)

    def main() -> Steps:
        victim = newthread(suspend)
        victim.cancel()
        assert (yield from first(victim.join, ends_itself, partial(number, 5))) == 5
        with pytest.raises(BaseExceptionGroup):
            yield from first(ends_itself)

    run(main)


def test_an_error_in_the_cleanup_of_a_loser_is_reported(crashes: list[str]) -> None:
    def main() -> Steps:
        assert (yield from first(fails_in_its_cleanup, partial(number, 5))) == 5

    run(main)
    assert crashes == ["KeyError('in the cleanup')"]


def test_an_error_of_a_loser_that_came_with_the_result_is_dropped(crashes: list[str]) -> None:
    """Its wait has ended before the cancellation, so this error is one of the call."""

    def main() -> Steps:
        event = Event()

        def wins() -> Steps:
            yield from sleep(0)
            event.set()
            return "result"

        assert (yield from first(partial(fails, ValueError("at the same time"), event), wins)) == "result"

    run(main)
    assert not crashes


def test_one_generator_is_not_two_calls() -> None:
    def main() -> Steps:
        made = text()
        with pytest.raises(RuntimeError, match="has begun already"):
            yield from gather(made, made)
        failing = fails(KeyError())
        with pytest.raises(ExceptionGroup) as caught:
            yield from first(failing, failing)
        assert [type(error) for error in caught.value.exceptions] == [KeyError, RuntimeError]

    run(main)


def plain() -> int:
    return 5


@pytest.mark.parametrize("several", [gather, first], ids=["gather", "first"])
def test_a_plain_function_is_refused(several: Callable[..., Operation[Any]]) -> None:
    """Type checkers refuse it, too: nothing could run beside it."""
    trail: list[str] = []

    def main() -> Steps:
        with pytest.raises(TypeError, match=r"<function plain at .*> returned 5, but a call must return a generator"):
            yield from several(partial(stubborn, trail), plain)
        assert trail == ["stubborn"]

    run(main)


def test_types_of_plain_functions_are_refused() -> None:
    gather(plain).close()  # type: ignore[arg-type]
    first(plain).close()  # type: ignore[arg-type]
