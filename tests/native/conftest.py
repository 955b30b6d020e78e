"""Tests of what only the native poller has: its own objects, its memory, its errors from the C library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pollers
from tests.contract.driver import Driver


@pytest.fixture
def driver() -> Iterator[Driver]:
    if "native" not in pollers.available():
        pytest.skip(f"native: {pollers.native_status()}")
    driver = Driver(pollers.choose("native", checked=False), "native")
    yield driver
    driver.close()
