"""Scenario tls: what TLS 1.3 costs a server: echoes, full and resumed handshakes, idle connections.

Knows what to read and when. The headline is CPU, for the reasons given in `echo`; for idle connections it is private
memory. Minor page faults show a server whose allocator gives its buffers back to the kernel: see KEEP_MEMORY in the
roster. The load generators offer one cipher suite and one group, and end the run if a server chooses otherwise.
"""

from __future__ import annotations

import ssl
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from bench import at_rest
from bench.at_rest import FIRST_CONNECTIONS, measure_idle
from bench.build import BUILD
from bench.certificates import CERTIFICATE, make_certificate
from bench.columns import cost_columns
from bench.contender import Contender
from bench.load import LoadSettings
from bench.machine import Placement, spare_connections
from bench.programs import BenchError, Program
from bench.roster import TLS_SERVERS
from bench.scenario import Case, Column, Plan, Sample, Scenario
from bench.under_load import add_times, measure_loaded

__all__ = ["SCENARIO", "note_of_versions"]


REQUESTS = cost_columns("request", "req")
HANDSHAKES = cost_columns("connection", "conn")
SIZES = (64, 16384, 65536)
LARGE_BYTES = 16384
GREETING_BYTES = 64
VERSION_TIMEOUT_S = 10.0


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=int, nargs="*", default=SIZES, metavar="B", help="bytes per request (default: 64 16384 65536)"
    )
    parser.add_argument(
        "--connections", type=int, default=100, metavar="N", help="busy connections (default: %(default)s)"
    )
    parser.add_argument(
        "--large-connections",
        type=int,
        default=20,
        metavar="N",
        help=f"the same for requests of {LARGE_BYTES} B and more (default: %(default)s)",
    )
    parser.add_argument(
        "--handshakes",
        type=int,
        default=20,
        metavar="N",
        help="clients at a time that connect, echo once and close; 0: leave this out (default: %(default)s)",
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=1000,
        metavar="N",
        help="idle connections; 0: leave this out (default: %(default)s)",
    )
    add_times(parser)


def _plan(options: Namespace, placement: Placement) -> Plan:
    make_certificate()
    wanted = max(options.connections, options.large_connections, options.idle + FIRST_CONNECTIONS)
    most, note = spare_connections(wanted)
    cases = (
        *_echoes(options, placement, most),
        *_handshakes(options, placement, most),
        *_idle(options, placement, most - FIRST_CONNECTIONS),
    )
    if not cases:
        raise BenchError("nothing to measure: give --size, --handshakes or --idle")
    notes = (note_of_versions(), *([note] if note else []))
    return Plan(cases, REQUESTS, notes)


def note_of_versions() -> str:
    """Return in words what is the same for all rows, and what the C server and Python encrypt with."""
    with Program("tls_echo_server", [str(BUILD / "tls_echo_server"), "--version"]) as program:
        in_c = program.expect("", VERSION_TIMEOUT_S)
    libraries = in_c if in_c == ssl.OPENSSL_VERSION else f"C: {in_c}, Python: {ssl.OPENSSL_VERSION}"
    return f"TLS 1.3, TLS_AES_256_GCM_SHA384, X25519, ECDSA P-256, checked after each handshake; {libraries}"


def _loaded(
    name: str, settings: LoadSettings, placement: Placement, unit: str, of_one: str, columns: tuple[Column, ...]
) -> Case:
    def sample(server: Contender) -> Sample:
        return measure_loaded(server, settings, placement).per(unit, of_one)

    return Case(name, sample, columns)


def _echoes(options: Namespace, placement: Placement, most: int) -> Iterator[Case]:
    for size in options.size:
        number = min(most, options.connections if size < LARGE_BYTES else options.large_connections)
        settings = LoadSettings(
            "echo", number, size, options.warmup_s, options.duration_s, options.counted_s, certificate=CERTIFICATE
        )
        yield _loaded(f"{size} B x {number}", settings, placement, "requests", "request", REQUESTS)


def _handshakes(options: Namespace, placement: Placement, most: int) -> Iterator[Case]:
    number = min(most, options.handshakes)
    for resume in (False, True) if number else ():
        settings = LoadSettings(
            "connections",
            number,
            GREETING_BYTES,
            options.warmup_s,
            options.duration_s,
            options.counted_s,
            certificate=CERTIFICATE,
            resume=resume,
        )
        name = f"{'resumed' if resume else 'full'} handshake, echo, close x {number}"
        yield _loaded(name, settings, placement, "connections", "connection", HANDSHAKES)


def _idle(options: Namespace, placement: Placement, most: int) -> Iterator[Case]:
    number = min(most, options.idle)

    def sample(server: Contender) -> Sample:
        return measure_idle(server, number, placement, CERTIFICATE)

    if number:
        yield Case(f"{number} idle connections", sample, at_rest.COLUMNS)


SCENARIO = Scenario(
    "tls",
    "TLS 1.3: server CPU per echo, full and resumed handshake; memory per idle connection",
    TLS_SERVERS,
    _add_arguments,
    _plan,
    tls=True,
)
