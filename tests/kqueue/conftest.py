"""The kqueues to test: the system's own, or the simulator in both flavors; and a poller over it, under a spy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pollers.readiness.kqueue import Kqueue
from tests.contract.driver import Driver

from . import asked
from .spy import Spy


@pytest.fixture(params=asked.kernels())
def kernel(request: pytest.FixtureRequest) -> Iterator[asked.Kernel]:
    with asked.kernel(request.param) as kernel:
        yield kernel


@pytest.fixture
def spy(kernel: asked.Kernel) -> Spy:
    return Spy(kernel.impl)


@pytest.fixture
def driver(spy: Spy) -> Iterator[Driver]:
    driver = Driver(Kqueue(spy), "kqueue")
    yield driver
    driver.close()
