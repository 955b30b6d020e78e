"""The command line: `python -m bench SCENARIO [options]`.

Knows the list of scenarios and the options they share. Only this module defines the order of a run.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from bench.build import build_all
from bench.contender import Roster, chosen, environment_notes
from bench.counters import counting_note
from bench.machine import busy_note, describe, place
from bench.plot import check_plotting, write_png
from bench.programs import BenchError
from bench.results import Results, command_of, saved_path, write_json
from bench.rounds import interleave, moved_note
from bench.scenario import Scenario
from bench.scenarios import (
    bulk,
    connections,
    echo,
    http,
    idle,
    imports,
    lookup,
    micro,
    scale,
    share,
    spawn,
    switch,
    timers,
    tls,
    tls_soak,
    udp,
    websocket,
)

SCENARIOS: tuple[Scenario, ...] = (
    echo.SCENARIO,
    connections.SCENARIO,
    idle.SCENARIO,
    scale.SCENARIO,
    share.SCENARIO,
    bulk.RECEIVE,
    bulk.SEND,
    udp.SCENARIO,
    spawn.SCENARIO,
    switch.SCENARIO,
    timers.SCENARIO,
    lookup.SCENARIO,
    imports.SCENARIO,
    micro.SCENARIO,
    tls.SCENARIO,
    tls_soak.SCENARIO,
    http.SCENARIO,
    websocket.SCENARIO,
)
OUTPUT_OPTIONS = ("scenario", "chosen_scenario", "only", "json", "plot", "save")


def _only(roster: Roster) -> Callable[[str], Roster]:
    def rows(text: str) -> Roster:
        try:
            return chosen(roster, text.split(","))
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return rows


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise ArgumentTypeError("must be at least 1")
    return rounds


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m bench", description="Compares socket2 with a C baseline and other stacks.")
    commands = parser.add_subparsers(dest="scenario", required=True)
    for scenario in SCENARIOS:
        command = commands.add_parser(scenario.name, help=scenario.summary, description=scenario.summary)
        command.set_defaults(chosen_scenario=scenario)
        scenario.add_arguments(command)
        _add_common(command, scenario)
    return parser


def _add_common(command: ArgumentParser, scenario: Scenario) -> None:
    rounds, roster = scenario.rounds, scenario.roster
    names = ", ".join(row.name for row in roster)
    command.add_argument("--rounds", type=_rounds, default=rounds, metavar="N", help="rounds (default: %(default)s)")
    command.add_argument(
        "--only", type=_only(roster), default=roster, metavar="A,B,C", help=f"some of: {names} (default: all)"
    )
    command.add_argument(
        "--share-core",
        action="store_true",
        help="load generator on the server's core: CPU figures repeat better, speed and latency mean less",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write all samples and facts to this file")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw a PNG into this file; needs matplotlib")
    command.add_argument("--save", action="store_true", help="write both, and the tables as text, to bench/results")


def _run(options: Namespace) -> Results:
    from bench.report import progress

    scenario: Scenario = options.chosen_scenario
    if scenario.compiled:
        build_all(scenario.tls)
    machine = describe()
    busy = busy_note()
    placement = place(options.share_core)
    plan = scenario.plan(options, placement)
    with progress(options.rounds * len(plan.cases) * len(options.only)) as step:
        trials = interleave(plan.cases, options.only, options.rounds, step)
    where = plan.where or placement.note
    notes = [f"{options.rounds} rounds, medians; {where}", *plan.notes, *environment_notes(options.only)]
    notes += [note for note in (moved_note(trials), busy, counting_note() if scenario.compiled else None) if note]
    parameters = {name: setting for name, setting in vars(options).items() if name not in OUTPUT_OPTIONS}
    return Results(scenario, plan, parameters, machine, tuple(notes), trials)


def _deliver(results: Results, options: Namespace) -> None:
    from bench.report import print_results

    print_results(results, sys.stdout)
    if options.json is not None:
        write_json(results, options.json)
    if options.plot is not None:
        write_png(results, options.plot)
    if options.save:
        _save(results)


def _save(results: Results) -> None:
    from bench.report import print_results

    path = saved_path(results)
    write_json(results, path)
    write_png(results, path.with_suffix(".png"))
    with path.with_suffix(".txt").open("w") as file:
        print("$", *command_of(results), file=file)
        print_results(results, file)


def main() -> int:
    """Run one scenario. Returns the exit status: 1 if a row failed, 2 if nothing could be measured."""
    options = _parser().parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        print("bench: this needs Linux: it reads /proc", file=sys.stderr)
        return 2
    try:
        if find_spec("rich") is None:
            raise BenchError("needs rich: pip install rich (or pip install -e '.[bench]')")
        if options.plot is not None or options.save:
            check_plotting()
        results = _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    _deliver(results, options)
    return 1 if any(outcome.state == "failed" for trial in results.trials for outcome in trial.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
