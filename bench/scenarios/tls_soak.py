"""Scenario tls-soak: whether a TLS server stays as it is: memory and descriptors over many records, short connections
and idle connections.

Knows what to read and when, and how much may change. Each load has two halves, after a warm-up that loads and
allocates all that is needed. In the second half nothing may grow, or the row fails. The figures are those of that half.
Memory is what malloc() has given out: it is exact, so even a few bytes per connection show. Python takes all of its
memory from there. The pages of the process also have the gaps between blocks, which take many rounds to settle; they
may grow by a few percent.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.build import HEAP
from bench.certificates import CERTIFICATE, make_certificate
from bench.contender import Contender, Roster
from bench.load import Load, LoadSettings, holding
from bench.machine import Placement, spare_connections
from bench.measure import cpu_used, memory_used, serving
from bench.programs import BenchError, Program
from bench.roster import TLS_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.scenarios.tls import note_of_versions

__all__ = ["SCENARIO"]

COLUMNS = (
    Column("grown_kib", "grown KiB", 1),
    Column("heap_mib", "heap MiB", 1),
    Column("uss_mib", "private MiB", 1),
    Column("fds_grown", "fds grown"),
    Column("fds", "fds"),
    Column("cpu_us", "cpu us each", 1),
    Column("seconds", "s"),
)
SIZE_BYTES = 64
BUSY_CONNECTIONS = 100
CLIENTS = 20
WARMUP_S = 0.5
KIB, MIB = 1 << 10, 1 << 20
# How long a server may take to notice that thousands of clients have gone.
CLOSE_TIMEOUT_S = 60.0
POLL_S = 0.1
HEAP_TIMEOUT_S = 60.0
GAPS_GROWTH_MAX = 0.1  # of the private memory
WATCHED = {"LD_PRELOAD": str(HEAP), "PYTHONMALLOC": "malloc"}


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--records", type=int, default=1_000_000, metavar="N", help="echoes; 0: leave this out (default: %(default)s)"
    )
    parser.add_argument(
        "--short",
        type=int,
        default=100_000,
        metavar="N",
        help="connections that echo once and close, half of them resumed; 0: leave this out (default: %(default)s)",
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=10_000,
        metavar="N",
        help="idle connections, opened three times; 0: leave this out (default: %(default)s)",
    )
    parser.add_argument(
        "--limit-kib",
        type=int,
        default=256,
        metavar="N",
        help="how much the memory in use may grow in the second half (default: %(default)s)",
    )


@dataclass(frozen=True)
class _State:
    """What a server at rest has: memory from malloc() and private memory in bytes, and descriptors."""

    heap: int
    uss: int
    fds: int

    @staticmethod
    def of(server: Program) -> _State:
        server.tell("heap")
        heap = int(server.expect("heap", HEAP_TIMEOUT_S))
        return _State(heap, memory_used(server.pid).uss, _descriptors(server))


def _descriptors(server: Program) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def _sample_of(between: _State, after: _State, limit_kib: int) -> Sample:
    """Return the metrics of the second half. Raises BenchError if it has left something behind."""
    grown_kib, fds_grown = (after.heap - between.heap) / KIB, after.fds - between.fds
    if fds_grown:
        raise BenchError(f"the second half has left {fds_grown} descriptors open")
    if grown_kib > limit_kib:
        raise BenchError(f"memory in use has grown by {grown_kib:.0f} KiB in the second half, not {limit_kib} at most")
    if after.uss - between.uss > max(MIB, between.uss * GAPS_GROWTH_MAX):
        raise BenchError(f"private memory has grown from {between.uss >> 10} KiB to {after.uss >> 10} KiB")
    return {
        "grown_kib": grown_kib,
        "heap_mib": after.heap / MIB,
        "uss_mib": after.uss / MIB,
        "fds_grown": fds_grown,
        "fds": after.fds,
    }


@contextmanager
def _watched(server: Contender, placement: Placement) -> Iterator[tuple[Program, int]]:
    """Run a server for the block that tells how much memory it uses."""
    with serving(replace(server, env={**server.env, **WATCHED}), placement.server_core) as served:
        yield served


def _under_load(name: str, settings: LoadSettings, placement: Placement, limit_kib: int) -> Case:
    def sample(server: Contender) -> Sample:
        with _watched(server, placement) as (program, port):
            load = Load(settings, port, placement.load_core)
            with load.program:
                load.warm_up()
                load.measure()
                between, cpu_between = _State.of(program), cpu_used(program.pid)
                answer = load.measure()
                used = cpu_used(program.pid).since(cpu_between)
                state = _sample_of(between, _State.of(program), limit_kib)
        assert settings.requests is not None
        return {**state, "cpu_us": used.total_s / settings.requests * 1e6, "seconds": answer["seconds"]}

    return Case(name, sample)


def _idle(number: int, placement: Placement, limit_kib: int) -> Case:
    def sample(server: Contender) -> Sample:
        with _watched(server, placement) as (program, port):
            with holding(port, placement.load_core, 1, CERTIFICATE):
                fds = _descriptors(program) - 1
            _round(program, port, fds)
            begun = time.monotonic()
            full, empty = _round(program, port, fds)
            full_again, empty_again = _round(program, port, fds)
            _sample_of(empty, empty_again, limit_kib)
            return {**_sample_of(full, full_again, limit_kib), "seconds": time.monotonic() - begun}

    def _round(program: Program, port: int, fds: int) -> tuple[_State, _State]:
        """Open the connections and close them. Return the states between and after that."""
        with holding(port, placement.load_core, number, CERTIFICATE):
            full = _State.of(program)
        _await_closed(program, fds)
        return full, _State.of(program)

    return Case(f"{number} idle connections, three times", sample)


def _await_closed(program: Program, fds: int) -> None:
    """Wait until the server has only `fds` descriptors."""
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    while (left := _descriptors(program)) != fds:
        if time.monotonic() > deadline:
            raise BenchError(f"{left - fds} descriptors are still open {CLOSE_TIMEOUT_S:g} s after their clients went")
        time.sleep(POLL_S)


def _plan(options: Namespace, placement: Placement) -> Plan:
    make_certificate()
    most, note = spare_connections(max(options.idle, BUSY_CONNECTIONS))
    notes = (note_of_versions(), "figures are those of the second halves", *([note] if note else []))
    return Plan(tuple(_cases(options, placement, most)), COLUMNS, notes)


def _cases(options: Namespace, placement: Placement, most: int) -> Iterator[Case]:
    def settings(mode: str, connections: int, requests: int, resume: bool = False) -> LoadSettings:
        return LoadSettings(
            mode, connections, SIZE_BYTES, WARMUP_S, 0, requests=requests, certificate=CERTIFICATE, resume=resume
        )

    if options.records:
        half = settings("echo", BUSY_CONNECTIONS, options.records // 2)
        yield _under_load(f"{options.records} records each way", half, placement, options.limit_kib)
    for resume in (False, True) if options.short else ():
        half = settings("connections", CLIENTS, options.short // 4, resume)
        name = f"{options.short // 2} short connections, {'resumed' if resume else 'full'} handshakes"
        yield _under_load(name, half, placement, options.limit_kib)
    if options.idle:
        yield _idle(min(most, options.idle), placement, options.limit_kib)


# Ours only, the native ones first, and the C server, which shows what growth is normal. What others leak is not ours.
ROSTER: Roster = (*reversed([row for row in TLS_SERVERS if row.module == "socket2"]), TLS_SERVERS[0])

SCENARIO = Scenario(
    "tls-soak",
    "TLS: memory and descriptors stay flat over a million records, 100 000 connections, 10 000 idle ones",
    ROSTER,
    _add_arguments,
    _plan,
    tls=True,
    rounds=1,
)
