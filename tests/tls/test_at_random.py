"""Random programs over a TLS stream. `make stress` makes many more."""

from __future__ import annotations

import pytest

from .at_random import make, make_shared
from .certificates import Authority


@pytest.mark.parametrize("seed", range(30))
def test_a_random_program_loses_nothing(authority: Authority, seed: int) -> None:
    make(authority, seed)


@pytest.mark.parametrize("seed", range(5))
def test_nor_does_it_in_several_os_threads(authority: Authority, seed: int) -> None:
    make_shared(authority, seed, 4)
