"""Scenario lookup: many tasks look up names at once, by getaddrinfo(3) in OS threads.

Knows counts and columns; the programs are in bench/stacks. By default the name is the host's own, which is
usually in /etc/hosts. So the result shows the way to the OS thread and back, not a name server. The program
is not pinned, since its OS threads need cores. Each stack has its own default number of OS threads.
"""

from __future__ import annotations

import socket
from argparse import ArgumentParser, Namespace

from bench.contender import Contender
from bench.inprocess import add_count, alone_on, metrics_of
from bench.machine import Placement
from bench.programs import BenchError
from bench.roster import STACKS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.stacks import LOOKUP_PORT, LOOKUP_TASKS

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("lookup_ns", "cpu ns/lookup", ratio=True, spread=True),
    Column("lookup_per_s", "lookups/s", ratio=True, spread=True),
)


def _add_arguments(parser: ArgumentParser) -> None:
    add_count(parser, 3000, "lookups")
    parser.add_argument("--host", default=socket.gethostname(), metavar="NAME", help="name (default: this host's)")
    parser.add_argument("--one-core", action="store_true", help="pin to one core: no contention between OS threads")


def _plan(options: Namespace, placement: Placement) -> Plan:
    try:
        socket.getaddrinfo(options.host, LOOKUP_PORT, socket.AF_INET)
    except socket.gaierror as error:
        raise BenchError(f"{options.host} cannot be looked up here: {error.strerror}; see --host") from error
    core = placement.server_core if options.one_core else None

    def sample(row: Contender) -> Sample:
        return metrics_of(row, core, "lookup", options.count, options.host)

    where = alone_on(core) if core is not None else "NOT PINNED: lookups use OS threads"
    return Plan((Case(f"{LOOKUP_TASKS} tasks", sample),), COLUMNS, where=where)


SCENARIO = Scenario("lookup", "concurrent lookups of one name", STACKS, _add_arguments, _plan, compiled=False)
