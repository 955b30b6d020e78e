"""The programs in docs/debug.md do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .interop.peers import LIMIT_S, ROOT

BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "debug.md").read_text(), re.DOTALL | re.MULTILINE)

# What each prints, in their order.
PRINTS = [
    r"thread 'main' has been running for \d+ ms and lets no other run; it is here:\n.*time\.sleep\(0\.3\)",
    r"(?m)^worker +waiting .* sleep of 10 s .* in 10 s .*^  worker .*^thread 'worker', waiting, .* started by 'main'\n",
    r"sent 18 bytes\n +0000  47 45 54 .*received 19 bytes\n",
]


def test_every_block_is_run() -> None:
    assert len(BLOCKS) == len(PRINTS)


@pytest.mark.parametrize("at", range(len(PRINTS)))
def test_a_block_of_the_guide(at: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BLOCKS[at])
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        env=os.environ | {"PYTHONPATH": str(ROOT), "SOCKET2_DEBUG_DIR": str(tmp_path / "d")},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTS[at], done.stdout + done.stderr, re.DOTALL), done.stdout + done.stderr
