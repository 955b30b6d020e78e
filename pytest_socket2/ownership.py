"""Which tests are ours.

Other plugins run `async def` tests, too. Knows how they mark theirs, and takes only what nobody else has marked.
"""

from __future__ import annotations

import inspect
import unittest
from typing import Any

import pytest

# The marks of other plugins that run coroutines or generators.
_FOREIGN = ("anyio", "asyncio", "curio", "gen_test", "tornado", "trio", "twisted")

# Our fixtures that need the loop.
_NEED_LOOP = ("autojump", "connected_pair", "loop", "recorded")

_OURS = pytest.StashKey[bool]()


def is_ours(item: object) -> bool:
    """Whether the test runs in a loop of ours, and is checked when it ends."""
    if not isinstance(item, pytest.Function):
        return False
    if _OURS not in item.stash:
        item.stash[_OURS] = _decide(item)
    return item.stash[_OURS]


def _decide(item: pytest.Function) -> bool:
    if isinstance(item.cls, type) and issubclass(item.cls, unittest.TestCase):
        return False
    foreign = [name for name in _FOREIGN if item.get_closest_marker(name)]
    if item.get_closest_marker("socket2"):
        if foreign:
            pytest.fail(f"{item.name} has the marks socket2 and {foreign[0]}: only one can run it", pytrace=False)
        return True
    if is_strict(item.config) or foreign or type(item) is not pytest.Function or "anyio_backend" in item.fixturenames:
        return False
    return (
        is_lazy(_inner(item.obj))
        or item.get_closest_marker("pollers") is not None
        or any(_is_for_loop(definitions[-1]) for definitions in item._fixtureinfo.name2fixturedefs.values())
    )


def is_strict(config: pytest.Config) -> bool:
    return bool(config.getini("socket2_mode") == "strict")


def _inner(func: Any) -> Any:
    """Return the function inside a test of hypothesis."""
    return func.hypothesis.inner_test if hasattr(func, "hypothesis") else func


def is_lazy(func: Any) -> bool:
    """Whether a call of `func` makes a coroutine or a generator."""
    return inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func)


def waits(definition: Any) -> bool:
    """Whether a fixture is an `async def`, and not another plugin's."""
    func = definition.func
    if hasattr(func, "_force_asyncio_fixture"):  # pytest-asyncio's
        return False
    return inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func)


def _is_for_loop(definition: Any) -> bool:
    ours = getattr(definition.func, "__module__", "") == f"{__package__}.fixtures"
    return (ours and definition.argname in _NEED_LOOP) or waits(definition)


def is_generator_test(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> bool:
    """Whether pytest would refuse this test, and we run it."""
    func = getattr(obj, "__func__", obj)
    if not inspect.isgeneratorfunction(func) or not collector.istestfunction(obj, name):
        return False
    if not getattr(func, "__test__", True):
        return False
    marks = {mark.name for mark in [*getattr(func, "pytestmark", ()), *collector.iter_markers()]}
    return "socket2" in marks or not (is_strict(collector.config) or marks & set(_FOREIGN))
