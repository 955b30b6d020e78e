"""Tests of what only the IOCP poller does. They are collected only on Windows."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import pollers
from tests.contract.driver import Driver

collect_ignore_glob = ["test_*"] if sys.platform != "win32" else []


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver(pollers.choose("iocp", checked=False), "iocp")
    yield driver
    driver.close()
