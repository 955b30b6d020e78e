"""A few seconds of the random programs of `make stress`. They differ each time, and print how to repeat them."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

import pollers

from ..interop.peers import ROOT
from ..stress.program import HOWS, WHATS

OPERATIONS = 2000
LIMIT_S = 100.0

CASES = [
    *((poller, how) for poller in ("native", "epoll", "iocp") if poller in pollers.available() for how in HOWS),
    ("select", "serve"),  # it has no descriptor for others to join
]


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize(("poller", "how"), CASES)
def test_a_random_program(poller: str, how: str, what: str) -> None:
    environment = {**os.environ, "SOCKET2_POLLER": poller}
    command = [
        sys.executable,
        "-m",
        "tests.stress",
        f"--seed={random.randrange(10**9)}",
        f"--how={how}",
        f"--what={what}",
    ]
    done = subprocess.run(
        [*command, f"--operations={OPERATIONS}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
