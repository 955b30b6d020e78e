"""The servers that are compared do the same work: what is measured must not be a server that leaves something out.

Those of packages that the tests do not need, and those in other languages, are in `examined`.
"""

from __future__ import annotations

import sys

import pytest

from bench.build import build_all
from bench.contender import chosen, environment_notes
from bench.roster import ECHO_SERVERS, KEEP_MEMORY
from tests.interop.peers import needs

from .exchanges import examine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

ROWS = {row.name: row for row in ECHO_SERVERS}
HERE = ("socket2-async", "socket2-generator", "asyncio-protocol", "asyncio-streams", "asyncio-sockets", "trio-streams")


@pytest.mark.parametrize("name", [*HERE, "socket2-net", "anyio-asyncio", "anyio-trio"])
def test_a_server_echoes_and_survives_a_reset(name: str) -> None:
    examine(ROWS[name])


def test_so_does_the_baseline() -> None:
    needs("cc", "gcc")
    build_all()
    examine(ROWS["c"])


def test_every_program_is_there() -> None:
    for row in ECHO_SERVERS:
        if row.command[0] == sys.executable:
            assert row.command[2].startswith("bench.servers.echo.")
        elif row.foreign is not None:
            assert row.foreign.source.exists()


def test_names_are_unique_and_the_baseline_is_always_chosen() -> None:
    assert len(ROWS) == len(ECHO_SERVERS)
    assert [row.name for row in chosen(ECHO_SERVERS, ["tokio", "c", "tokio"])] == ["c", "tokio"]
    with pytest.raises(ValueError, match="no row 'nobody': the rows are c, "):
        chosen(ECHO_SERVERS, ["nobody"])


def test_settings_of_peers_are_said() -> None:
    words = " ".join(f"{name}={value}" for name, value in KEEP_MEMORY.items())
    rows = (ROWS["c"], ROWS["asyncio-protocol"], ROWS["uvloop-protocol"], ROWS["go-1"], ROWS["go-all-cores"])
    assert environment_notes(rows) == [
        f"with {words}: asyncio-protocol, uvloop-protocol",
        "with GOMAXPROCS=1: go-1",
        "on all cores, and so also on that of the load generator: go-all-cores",
    ]
