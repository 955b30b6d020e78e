"""The command line: `python -m bench SCENARIO [options]`.

Knows the list of scenarios and the options they share; the order of a run is here and nowhere else.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from bench import echo, idle
from bench.build import build_all
from bench.machine import busy_note, describe, place
from bench.programs import BenchError
from bench.report import Results, table, write_json
from bench.roster import SERVERS, Server, chosen
from bench.rounds import interleave, moved_note
from bench.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (echo.SCENARIO, idle.SCENARIO)


def _servers(text: str) -> list[Server]:
    try:
        return chosen(text.split(","))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise ArgumentTypeError("at least 1")
    return rounds


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m bench", description="Servers side by side, against a C baseline.")
    commands = parser.add_subparsers(dest="scenario", required=True)
    names = ", ".join(server.name for server in SERVERS)
    for scenario in SCENARIOS:
        command = commands.add_parser(scenario.name, help=scenario.summary, description=scenario.summary)
        command.set_defaults(chosen_scenario=scenario)
        scenario.add_arguments(command)
        command.add_argument("--rounds", type=_rounds, default=5, metavar="N", help="rounds (default: %(default)s)")
        command.add_argument(
            "--servers", type=_servers, default=chosen(None), metavar="A,B,C", help=f"some of: {names} (default: all)"
        )
        command.add_argument(
            "--share-core",
            action="store_true",
            help="load generator on the server's core: CPU figures repeat better, speed and latency mean less",
        )
        command.add_argument("--json", type=Path, metavar="FILE", help="write all samples and facts there")
    return parser


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _run(options: Namespace) -> Results:
    scenario: Scenario = options.chosen_scenario
    build_all()
    machine = describe()
    busy = busy_note()
    placement = place(options.share_core)
    plan = scenario.plan(options, placement)
    try:
        outcomes = interleave(options.servers, options.rounds, plan.sample, _progress)
    finally:
        _progress("")
    notes = [f"{options.rounds} rounds, medians; {placement.note}", *plan.notes]
    notes += [note for note in (moved_note(outcomes), busy) if note]
    shared = ("scenario", "chosen_scenario", "servers", "json")
    parameters = {name: setting for name, setting in vars(options).items() if name not in shared}
    return Results(scenario, parameters, machine, tuple(notes), outcomes)


def main() -> int:
    """Run one scenario; returns the exit status: 1 when a server failed, 2 when nothing could be measured."""
    options = _parser().parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        print("bench: needs Linux: it reads /proc", file=sys.stderr)
        return 2
    try:
        results = _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(table(results))
    if options.json is not None:
        write_json(results, options.json)
    return 1 if any(outcome.state == "failed" for outcome in results.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
