"""Commands for children, and programs that must leave no descriptor open."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from socket2 import sleep

from ..conftest import descriptors

Steps = Generator[Any, Any, Any]

MUCH = 1_000_000


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


SLEEP = ["sleep", "60"]


def settled(main: Any) -> Steps:
    """Run a main thread in a loop that has opened all that it needs, and see that it leaves nothing open."""
    yield from sleep(0)
    before = descriptors()
    yield from main()
    assert descriptors() == before
