"""A clock for the tests of what takes time."""

from __future__ import annotations

import pytest

import pollers
from socket2.threads.scheduler import Scheduler, local

from ...handclock import SetClock


@pytest.fixture
def clock() -> SetClock:
    """The clock of the next loop, which only the test moves."""
    clock = SetClock(pollers.choose())
    assert local.scheduler is None
    local.scheduler = Scheduler(clock)
    return clock
