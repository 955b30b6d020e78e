"""The contract runs over every poller that the machine has: bare, under the checking poller, and made to be shared.

SOCKET2_POLLER narrows it to one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import pollers
from pollers.select import Select

from .driver import Driver


def kinds() -> list[str]:
    named = os.environ.get("SOCKET2_POLLER")
    if named:
        return [named]
    return [*pollers.available(), "select(2)"]


def make(kind: str, checked: bool) -> pollers.Poller:
    if kind != "select(2)":
        return pollers.choose(kind, checked=checked)
    poller: Any = Select(use_poll=False)
    if checked:
        from pollers.checking import Checked

        return Checked(poller)
    return poller  # type: ignore[no-any-return]


@pytest.fixture(
    params=[(kind, manner) for kind in kinds() for manner in ("bare", "checked", "shared")], ids=lambda p: "-".join(p)
)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    kind, manner = request.param
    driver = Driver(make(kind, manner == "checked"), kind.removesuffix("(2)"))
    if manner == "shared":
        driver.poller.share()
    yield driver
    driver.close()
