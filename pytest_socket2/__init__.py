"""The pytest plugin of socket2: tests that are generators or `async def` run in a loop of their own.

pytest loads this package in every run where socket2 is installed, so it imports socket2 only when a test needs it:
coverage has to see that import. This room knows pytest, and does not know how a loop works: see `socket2.testing`.

Read `ownership` first: which tests are ours. `options`: settings and marks. `running`: how tests run, and
their fixtures that wait. `fixtures`: what tests can ask for.
"""

from __future__ import annotations

from .fixtures import autojump, connected_pair, free_port, loop, recorded, seed, socket2_loop, socket2_poller
from .options import pytest_addoption, pytest_configure, pytest_enter_pdb, pytest_generate_tests, pytest_unconfigure
from .running import (
    pytest_fixture_setup,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
    pytest_runtest_makereport,
)

__all__ = [
    "autojump",
    "connected_pair",
    "free_port",
    "loop",
    "pytest_addoption",
    "pytest_configure",
    "pytest_enter_pdb",
    "pytest_fixture_setup",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_pyfunc_call",
    "pytest_runtest_makereport",
    "pytest_unconfigure",
    "recorded",
    "seed",
    "socket2_loop",
    "socket2_poller",
]
