"""The limit on descriptors, if the system has one."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from .simulated.standin import active, no_simulated_descriptor_left


def _resource() -> Any:
    return importlib.import_module("resource")


def has_limit() -> bool:
    return os.name == "posix"


needs_limit = pytest.mark.skipif(not has_limit(), reason="this system has no limit on descriptors")


def allow_descriptors(count: int) -> None:
    """Raise the limit to `count`, or skip the test."""
    host = active()
    if host is not None:
        host.descriptors_max = max(host.descriptors_max, count)
    if has_limit():
        limit = _resource().RLIMIT_NOFILE
        soft, hard = _resource().getrlimit(limit)
        if hard != _resource().RLIM_INFINITY and hard < count:
            pytest.skip(f"only {hard} descriptors")
        _resource().setrlimit(limit, (max(soft, count), hard))


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Lower the limit to the number of open descriptors. For tests that are marked with needs_limit."""
    host = active()
    if host is not None:
        with no_simulated_descriptor_left(host):
            yield
        return
    limit = _resource().RLIMIT_NOFILE
    soft, hard = _resource().getrlimit(limit)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    _resource().setrlimit(limit, (lowest_free, hard))
    try:
        yield
    finally:
        _resource().setrlimit(limit, (soft, hard))
