"""CPython's own tests of kqueue, selectors and asyncio, run over the simulator."""

from __future__ import annotations

import importlib.util
import re
import select
import subprocess
import sys

import pytest

from tests.interop.peers import ROOT
from tests.machine import has_localhost


def has_its_tests() -> bool:
    """Return whether Python has its tests. Debian, for example, omits most of them."""
    return importlib.util.find_spec("test") is not None and importlib.util.find_spec("test.test_asyncio") is not None


pytestmark = [
    pytest.mark.skipif(not hasattr(select, "epoll"), reason="the simulator runs on Linux"),
    pytest.mark.skipif(not has_its_tests(), reason="this Python comes without its tests"),
]

SUITE_S = 300.0  # some take 5, and several times that on a busy machine

# The tests with kqueue in their names, and those that use the default selector.
SUITES = {
    "kqueue": ["test.test_kqueue"],
    "selectors": ["test.test_selectors.KqueueSelectorTestCase"],
    "events": ["test.test_asyncio.test_events.KqueueEventLoopTests"],
    "sockets": [
        "test.test_asyncio.test_sock_lowlevel.KqueueEventLoopTests",
        "test.test_asyncio.test_sendfile.KqueueEventLoopTests",
        "test.test_asyncio.test_streams",
        "test.test_asyncio.test_server",
        "test.test_asyncio.test_unix_events",
    ],
}

# They connect from any free port to a port that was just free. Sometimes it is the same port, and it connects.
GUESSING = [f"test_create_connection_local_addr_{what}_family" for what in ("skip_different", "nomatch")]

# Put the names where `select` has them on a BSD, and reload selectors, which looks for them.
PROGRAM = f"""
import select, sys, unittest
from tests.kqueue_sim import simulator
vars(select).update(vars(simulator(sys.argv.pop(1))))
sys.modules.pop("selectors", None)
import selectors
assert selectors.DefaultSelector is selectors.KqueueSelector
from test.test_asyncio.test_events import EventLoopTestsMixin
for name in {GUESSING}:
    if hasattr(EventLoopTestsMixin, name):
        delattr(EventLoopTestsMixin, name)
from test.test_kqueue import TestKQueue
TestKQueue.test_event_attributes = None  # in Python 3.14. Nobody changes an event, so the simulator checks no change
unittest.main(module=None)
"""


@pytest.mark.skipif(not has_localhost(), reason="this machine does not know localhost")
@pytest.mark.parametrize(("suite", "flavor"), [("kqueue", "macos"), *((suite, "freebsd") for suite in SUITES)], ids=str)
def test_suite(suite: str, flavor: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, flavor, *SUITES[suite]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SUITE_S,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ran = re.search(r"Ran (\d+) tests", done.stderr)
    assert ran is not None
    assert int(ran[1]) > 5
