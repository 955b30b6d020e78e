"""The guides' programs: each block of Python in them is whole, and runs."""

from __future__ import annotations

import re
import sys

import pytest

from .interop.peers import ROOT, Program

PAGES = ["connect.md", "luasocket.md", "stream.md"]
BLOCKS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block: str) -> None:
    with Program([sys.executable, "-W", "error", "-c", block]) as program:
        assert program.wait() == 0, program.stderr().decode()
        assert program.stderr() == b""
