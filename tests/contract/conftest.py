"""The contract runs over every kind of poller: bare, under the checking poller, and shared."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

from ..simulated.standin import active, standing_in
from .driver import Driver
from .kinds import make, names

# Windows waits for sockets only: see tests/iocp/test_descriptors.py.
collect_ignore = ["test_files.py"] if sys.platform == "win32" else []


@pytest.fixture(params=names(simulated=True), ids="-".join)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    kind, manner = request.param
    with contextlib.ExitStack() as stack:
        if kind == "simulated" and active() is None:
            stack.enter_context(standing_in())
        driver = Driver(make(kind, checked=manner == "checked"), kind)
        if manner == "shared":
            driver.poller.share()
        yield driver
        driver.close()
