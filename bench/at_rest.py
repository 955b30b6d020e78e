"""One measurement of a server whose clients are all idle: its private memory per connection.

Knows what to read and when. The result is the growth of private memory, divided by the number of
connections. A first group of connections, which does not count, causes all that is loaded and allocated
once. The kernel's memory (socket, epoll item) is the same for all servers and does not count.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.contender import Contender
from bench.load import holding
from bench.machine import Placement
from bench.measure import memory_used, serving
from bench.scenario import Column, Sample

__all__ = ["COLUMNS", "FIRST_CONNECTIONS", "measure_idle"]

COLUMNS = (
    Column("uss_bytes_per_connection", "bytes/conn", ratio=True, spread=True),
    Column("rss_bytes_per_connection", "rss/conn"),
    Column("empty_uss_mib", "empty MiB", 1),
    Column("full_uss_mib", "full MiB", 1),
    Column("open_s", "opened in s", 2),
)
FIRST_CONNECTIONS = 100
# In this time the last handlers reach their wait, and temporary objects of accepted batches are freed.
SETTLE_S = 0.3
MIB = 1 << 20


def measure_idle(server: Contender, connections: int, placement: Placement, certificate: Path | None = None) -> Sample:
    """Measure a fresh server once.

    Args:
        server: a row of the roster.
        connections: how many idle connections to open, besides FIRST_CONNECTIONS.
        placement: the cores.
        certificate: use TLS; the file with the server's certificate.
    """
    core = placement.load_core
    with (
        serving(server, placement.server_core) as (program, port),
        holding(port, core, FIRST_CONNECTIONS, certificate),
    ):
        time.sleep(SETTLE_S)
        before = memory_used(program.pid)
        begun = time.monotonic()
        with holding(port, core, connections, certificate):
            open_s = time.monotonic() - begun
            time.sleep(SETTLE_S)
            after = memory_used(program.pid)
            # Kill it before its connections close. Otherwise it would still handle thousands of resets.
            program.kill()
    return {
        "connections": connections,
        "uss_bytes_per_connection": (after.uss - before.uss) / connections,
        "rss_bytes_per_connection": (after.rss - before.rss) / connections,
        "empty_uss_mib": before.uss / MIB,
        "full_uss_mib": after.uss / MIB,
        "open_s": open_s,
    }
