"""A small share of what `python -m tests.http.at_random` and `tests.http.heads_at_random` try."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="httptools is not installed (pip install httptools)")

from socket2.http.messages.heads import checkers

from .. import heads_at_random
from ..at_random import attempt


@pytest.mark.parametrize("seed", range(4))
def test_nobody_disagrees_on_where_a_message_ends(seed: int) -> None:
    taken = sum(attempt(number) for number in range(seed * 100, seed * 100 + 100))
    assert 10 < taken < 90


@pytest.mark.skipif("c" not in checkers(), reason="the part in C is not built")
@pytest.mark.parametrize("seed", range(4))
def test_c_and_python_make_the_same_of_a_head(seed: int) -> None:
    usual = sum(heads_at_random.attempt(number) for number in range(seed * 1000, seed * 1000 + 1000))
    assert 100 < usual < 800  # of 1000
