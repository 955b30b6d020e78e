"""Scenario idle: how much memory of a server a waiting connection costs.

Knows what to read and when. The result is the growth of private memory, divided by the number of
connections. A first group of connections, which does not count, causes all that is loaded and allocated
once. The kernel's memory (socket, epoll item) is the same for all servers and does not count.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from bench.load import holding
from bench.machine import Placement, spare_connections
from bench.measure import memory_used, serving
from bench.roster import ECHO_SERVERS, Contender
from bench.scenario import Case, Column, Plan, Sample, Scenario

__all__ = ["SCENARIO"]

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


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--connections", type=int, default=10_000, metavar="N", help="idle connections (default: %(default)s)"
    )


def _plan(options: Namespace, placement: Placement) -> Plan:
    spare, note = spare_connections(options.connections + FIRST_CONNECTIONS)
    connections = spare - FIRST_CONNECTIONS

    def sample(server: Contender) -> Sample:
        core = placement.load_core
        with serving(server, placement.server_core) as (program, port), holding(port, core, FIRST_CONNECTIONS):
            time.sleep(SETTLE_S)
            before = memory_used(program.pid)
            begun = time.monotonic()
            with holding(port, core, connections):
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

    return Plan((Case("", sample),), COLUMNS, (note,) if note else ())


SCENARIO = Scenario("idle", "private memory per idle connection", ECHO_SERVERS, _add_arguments, _plan)
