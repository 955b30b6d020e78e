"""Random programs over a TLS stream. `make stress` makes many more."""

from __future__ import annotations

import pytest

from .at_random import make
from .certificates import Authority


@pytest.mark.parametrize("seed", range(30))
def test_a_random_program_loses_nothing(authority: Authority, seed: int) -> None:
    make(authority, seed)
