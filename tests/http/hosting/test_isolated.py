"""A coroutine in a context of its own, in C and in Python."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any

import pytest

from socket2.http.hosting.isolated import Isolated, _Isolated

from ...native.test_memory import failing

KINDS = [_Isolated] if Isolated is _Isolated else [_Isolated, Isolated]
seen: ContextVar[str] = ContextVar("seen", default="nothing")

pytestmark = pytest.mark.parametrize("kind", KINDS)


@coroutine
def wait(what: object) -> Generator[Any, Any, Any]:
    return (yield what)


async def program() -> list[object]:
    found: list[object] = [seen.get()]
    seen.set("inside")
    found.append(await wait("first"))
    try:
        await wait("second")
    except ValueError as error:
        found += [str(error), seen.get()]
    return found


def test_what_is_set_inside_is_not_seen_outside(kind: Any) -> None:
    seen.set("outside")
    steps = kind(program())
    assert next(steps) == "first"
    assert seen.get() == "outside"
    seen.set("changed")
    assert steps.send(1) == "second"
    with pytest.raises(StopIteration) as ended:
        steps.throw(ValueError("thrown"))
    assert ended.value.value == ["outside", 1, "thrown", "inside"]
    assert seen.get() == "changed"
    seen.set("nothing")


def test_a_generator_delegates_to_it(kind: Any) -> None:
    def outer() -> Generator[Any, Any, Any]:
        return (yield from kind(program()))

    steps = outer()
    assert [next(steps), steps.send(2)] == ["first", "second"]
    with pytest.raises(StopIteration) as ended:
        steps.throw(ValueError("a"))
    assert ended.value.value == ["nothing", 2, "a", "inside"]


def test_an_error_passes(kind: Any) -> None:
    async def fails() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        next(kind(fails()))
    steps = kind(program())
    next(steps)
    with pytest.raises(OSError, match="thrown"):
        steps.throw(OSError, OSError("thrown"), None)
    with pytest.raises(TypeError):
        steps.throw()


def test_it_is_closed_inside(kind: Any) -> None:
    found = []

    async def cleans_up() -> None:
        seen.set("inside")
        try:
            await wait(1)
        finally:
            found.append(seen.get())

    steps = kind(cleans_up())
    next(steps)
    steps.close()
    assert found == ["inside"]
    assert seen.get() == "nothing"


def test_it_is_a_link_of_the_chain(kind: Any) -> None:
    made = program()
    steps = kind(made)
    assert steps.cr_await is made
    assert steps.cr_frame is None
    assert iter(steps) is steps
    made.close()


def test_other_awaitables(kind: Any) -> None:
    class Awaitable:
        def __await__(self) -> Generator[Any, Any, Any]:
            return (yield seen.get())

    steps = kind(Awaitable())
    assert next(steps) == "nothing"
    with pytest.raises(StopIteration) as ended:
        steps.send(5)
    assert ended.value.value == 5
    with pytest.raises(TypeError, match="is it one for ASGI 3"):
        kind(5)
    with pytest.raises(TypeError):
        kind()


def test_it_is_not_entered_twice(kind: Any) -> None:
    made: list[Any] = []

    async def enters() -> None:
        await wait(1)
        next(made[0])

    made.append(kind(enters()))
    next(made[0])
    with pytest.raises((RuntimeError, ValueError)):
        next(made[0])
    assert seen.get() == "nothing"


def test_a_cycle_is_collected(kind: Any) -> None:
    class Holder:
        steps: Any

    async def holds(holder: Holder) -> None:
        await wait(holder)

    holder = Holder()
    holder.steps = kind(holds(holder))
    next(holder.steps)
    known = weakref.ref(holder)
    del holder
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("number", range(8))
def test_each_allocation_fails_once(kind: Any, number: int) -> None:
    made = program()
    with failing(number):
        steps = kind(made)
        next(steps)
        steps.send(1)
    made.close()
