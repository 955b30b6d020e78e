"""The peers that need compilers or packages of their own: `make test-bench`."""

from __future__ import annotations

import pytest

from bench.contender import Contender
from bench.roster import ECHO_SERVERS
from tests.bench.exchanges import examine


@pytest.mark.parametrize("row", ECHO_SERVERS[1:], ids=lambda row: row.name)
def test_a_peer_echoes_and_survives_a_reset(row: Contender) -> None:
    missing = row.missing()
    if missing is not None:
        pytest.skip(missing)
    examine(row)
