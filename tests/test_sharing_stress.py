"""A few seconds of the random programs of `make stress`: other ones each time, which print how to have them again."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

import pollers

from .interop.peers import ROOT
from .stress.program import HOWS

OPERATIONS = 4000
LIMIT_S = 100.0

CASES = [
    (poller, how, checked)
    for poller in pollers.available()
    for how in (HOWS if poller in ("native", "epoll") else HOWS[:1])
    for checked in ("0", "1")
    if poller in ("native", "epoll", "select")
]


@pytest.mark.parametrize(("poller", "how", "checked"), CASES, ids=lambda value: str(value))
def test_a_random_program(poller: str, how: str, checked: str) -> None:
    environment = {**os.environ, "SOCKET2_POLLER": poller, "SOCKET2_CHECK": checked}
    command = [sys.executable, "-m", "tests.stress", f"--seed={random.randrange(10**9)}", f"--how={how}"]
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
