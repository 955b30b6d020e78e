"""A small share of what `python -m tests.http.at_random` tries."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="httptools is not installed (pip install httptools)")

from ..at_random import attempt


@pytest.mark.parametrize("seed", range(4))
def test_nobody_disagrees_on_where_a_message_ends(seed: int) -> None:
    taken = sum(attempt(number) for number in range(seed * 100, seed * 100 + 100))
    assert 10 < taken < 90
