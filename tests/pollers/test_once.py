"""Operations that are awaited once, in Python and in C. Both must behave in the same way."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

from pollers import once as module
from socket2.threads.native import in_c

IN_C: Any = in_c("_once", "pollers")
WAYS = [
    pytest.param((module._Once, module._once), id="python"),
    pytest.param(
        IN_C and (IN_C.Once, IN_C.once),
        id="c",
        marks=pytest.mark.skipif(IN_C is None, reason="not built, or switched off"),
    ),
]

way = pytest.mark.parametrize("way", WAYS)


class Thing:
    """An object that can have weak references."""


def echoes(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
    """Yield once, and return the arguments."""
    got = yield "waits"
    return (got, args, kwargs)


def drive(op: Any, answer: Any = None) -> Any:
    steps = iter(op)
    assert next(steps) == "waits"
    with pytest.raises(StopIteration) as stop:
        steps.send(answer)
    return stop.value.value


async def awaits(op: Any) -> Any:
    return await op


def takes(op: Any) -> Generator[Any, Any, Any]:
    return (yield from op)


# The operation.


@way
@pytest.mark.parametrize("waiter", [awaits, takes])
def test_the_first_who_awaits_it_has_it(way: Any, waiter: Callable[[Any], Any]) -> None:
    op = way[0](echoes(1))
    first = waiter(op)
    assert first.send(None) == "waits"
    with pytest.raises(RuntimeError, match="^this operation is being awaited already$"):
        waiter(op).send(None)
    with pytest.raises(StopIteration) as stop:
        first.send("on")
    assert stop.value.value == ("on", (1,), {})
    with pytest.raises(RuntimeError, match="^this operation has been awaited already$"):
        waiter(op).send(None)


@way
def test_it_says_how_far_it_is(way: Any) -> None:
    op = way[0](echoes())
    assert repr(op) == "<operation echoes, not begun>"
    steps = iter(op)
    assert repr(op) == "<operation echoes, awaited>"
    next(steps)
    assert repr(op) == "<operation echoes, awaited>"
    steps.close()
    assert repr(op) == "<operation echoes, ended>"


@way
def test_one_that_is_closed_has_ended(way: Any) -> None:
    op = way[0](echoes())
    op.close()
    op.close()
    assert repr(op) == "<operation echoes, ended>"
    with pytest.raises(RuntimeError, match="has been awaited already"):
        iter(op)


@way
def test_closing_one_that_is_awaited_ends_it(way: Any) -> None:
    cleaned = []

    def steps() -> Generator[Any, Any, None]:
        try:
            yield
        finally:
            cleaned.append(True)

    op = way[0](steps())
    next(iter(op))
    op.close()
    assert cleaned == [True]


@way
def test_it_keeps_what_it_was_given_until_it_is_dropped(way: Any) -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    op = way[0](echoes(thing))
    del thing
    gc.collect()
    assert alive() is not None
    del op
    assert alive() is None


@way
@pytest.mark.filterwarnings("ignore:operation echoes was never awaited")
@pytest.mark.parametrize("begun", [False, True])
def test_a_cycle_through_it_is_garbage(way: Any, begun: bool) -> None:
    thing: Any = Thing()
    alive = weakref.ref(thing)
    thing.op = way[0](echoes(thing))
    if begun:
        next(iter(thing.op))
    del thing
    gc.collect()
    assert alive() is None


@way
def test_a_long_chain_does_not_overflow_the_stack(way: Any) -> None:
    op: Any = None
    for _ in range(100_000):
        op = way[0](echoes(op))
    del op


@way
def test_it_is_made_of_one_thing(way: Any) -> None:
    for wrong in ((), (1, 2)):
        with pytest.raises(TypeError):
            way[0](*wrong)


@way
def test_without_memory_it_is_refused(way: Any) -> None:
    _testcapi = pytest.importorskip("_testcapi", reason="an interpreter without _testcapi cannot fail on demand")
    make = way[1](echoes)
    for number in range(1, 10):
        op = None
        gc.disable()
        _testcapi.set_nomemory(number, number + 1)
        try:
            op = make(1)
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
            gc.enable()
        assert drive(op if op is not None else make(1)) == (None, (1,), {})


# The decorator.


@way
def test_each_call_makes_one(way: Any) -> None:
    made = way[1](echoes)
    assert drive(made(1, 2, a=3), "x") == ("x", (1, 2), {"a": 3})
    assert drive(made()) == (None, (), {})
    op = made()
    assert type(op) is way[0]
    op.close()


@way
def test_errors_of_the_call_are_raised_by_it(way: Any) -> None:
    def two(a: int, b: int) -> Generator[Any, Any, None]:
        yield

    made = way[1](two)
    for args, kwargs in (((1,), {}), ((1, 2, 3), {}), ((1,), {"c": 3})):
        with pytest.raises(TypeError, match="two"):
            made(*args, **kwargs)


@way
def test_it_is_a_method_where_a_function_is_one(way: Any) -> None:
    class Owner:
        call: Any = way[1](echoes)
        static: Any = staticmethod(way[1](echoes))
        of_class: Any = classmethod(way[1](echoes))

    owner: Any = Owner()
    assert drive(owner.call(1)) == (None, (owner, 1), {})
    bound = owner.call
    assert drive(bound(a=1)) == (None, (owner,), {"a": 1})
    assert drive(type(owner).call(2)) == (None, (2,), {})
    assert drive(owner.static(3)) == (None, (3,), {})
    assert drive(owner.of_class(4)) == (None, (Owner, 4), {})


@way
def test_what_is_asked_of_it_is_the_functions(way: Any) -> None:
    made = way[1](echoes)
    assert made.__name__ == made.__qualname__ == "echoes"
    assert made.__module__ == __name__
    assert made.__doc__ == "Yield once, and return the arguments."
    assert made.__wrapped__ is echoes
    assert inspect.signature(made) == inspect.signature(echoes)
    assert callable(made)
    with pytest.raises(AttributeError):
        made.nothing  # noqa: B018


@way
def test_it_is_copied_as_a_function_is(way: Any) -> None:
    made = way[1](echoes)
    assert copy.copy(made) is made
    assert copy.deepcopy([made])[0] is made
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        pickle.dumps(made)  # by its name, which is the function's own here


@way
def test_an_operation_is_not_copied(way: Any) -> None:
    op = way[0](echoes())
    for make_copy in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            make_copy(op)
    op.close()
