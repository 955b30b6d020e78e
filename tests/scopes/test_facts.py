"""Facts of other libraries about cancel scopes and shields, and each way to wait, over every poller."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ..contract import kinds
from . import cancels_of_anyio, cancels_of_trio, shields_of_anyio, shields_of_trio, waits
from .world import POLLERS, Fact, World


def facts(module: Any) -> list[Any]:
    found = [
        pytest.param(func, id=name)
        for name, func in vars(module).items()
        if inspect.iscoroutinefunction(func) and func.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert found
    return found


FACTS = [
    fact for module in (cancels_of_trio, shields_of_trio, cancels_of_anyio, shields_of_anyio) for fact in facts(module)
]


@pytest.fixture(params=POLLERS)
def world(request: pytest.FixtureRequest) -> World:
    return World(kinds.make(request.param))


@pytest.mark.parametrize("fact", FACTS)
def test_fact(fact: Fact, world: World) -> None:
    world.run(fact)


@pytest.mark.parametrize("wait", waits.WAITS, ids=lambda wait: wait.__name__)
@pytest.mark.parametrize("ending", facts(waits))
def test_wait(ending: Any, wait: waits.Wait, world: World) -> None:
    async def fact(w: World) -> None:
        await ending(w, wait)

    world.run(fact)
