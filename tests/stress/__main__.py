"""Run random programs: one, or a million operations over each poller. A failure prints how to repeat it."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import subprocess
import sys
import threading
import time
import warnings

import pollers
from socket2.threads.scheduler import schedulers

from .program import HOWS, WHATS, Program, Run

# After this time without any operation, it hangs.
QUIET_MAX_S = 30.0

POLLERS = {
    "native": {"SOCKET2_POLLER": "native"},
    "epoll": {"SOCKET2_POLLER": "epoll", "SOCKET2_NATIVE": "0"},
    "iocp": {"SOCKET2_POLLER": "iocp"},
    "select": {"SOCKET2_POLLER": "select"},
}
_PIECE = 20_000  # operations of one program


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--members", type=int, help="OS threads; by default 2 to 8, as the seed has it")
    parser.add_argument("--how", choices=HOWS, help="how they come to serve; by default as the seed has it")
    parser.add_argument("--what", choices=WHATS, help="what they do; by default as the seed has it")
    parser.add_argument("--operations", type=int, default=_PIECE)
    parser.add_argument("--poller", choices=[*POLLERS, "all"], help="make programs over it until there are --total")
    parser.add_argument("--total", type=int, default=10**6, help="operations over each poller")
    parser.add_argument("--seconds", type=float, help="or until so many seconds are over")
    return parser.parse_args()


def watch(run: Run, program: Program, over: threading.Event) -> None:
    """End the process if nothing happens any more."""
    seen, since = -1, time.monotonic()
    while True:
        if over.wait(0.2):
            return
        if run.ledger.operations != seen:
            seen, since = run.ledger.operations, time.monotonic()
        elif time.monotonic() - since > QUIET_MAX_S:
            print(f"HANGS after {seen} operations. Again: {program.command()}", file=sys.stderr)
            for scheduler in schedulers():
                print(vars(scheduler), vars(scheduler.crew) if scheduler.crew else None, file=sys.stderr)
                for member in scheduler.loops:
                    print(member, vars(member), file=sys.stderr)
            faulthandler.dump_traceback(all_threads=True)
            os._exit(3)


def make(program: Program) -> int:
    """Run one program in this process. Return the exit status."""
    faulthandler.enable()
    warnings.simplefilter("error")
    sys.unraisablehook = lambda unraisable: run.ledger.fail(f"unraisable: {unraisable!r}")
    run = Run(program)
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(run, program, over))
    watcher.start()
    begun = time.monotonic()
    try:
        run.make()
    finally:
        over.set()
        watcher.join()
    gc.collect()
    took_s = time.monotonic() - begun
    shares = sorted(run.ledger.steps.values(), reverse=True)
    print(f"{program.command()}: {run.ledger.operations} operations in {took_s:.1f} s, steps by OS thread {shares}")
    for failure in run.ledger.failures[:20]:
        print(f"FAILED: {failure}", file=sys.stderr)
    if run.ledger.failures:
        print(f"{len(run.ledger.failures)} failures. Again: {program.command()}", file=sys.stderr)
    return 1 if run.ledger.failures else 0


def make_all(options: argparse.Namespace) -> int:
    """Run programs of one seed after another, in processes of their own, over each poller."""
    here = [poller for poller in POLLERS if poller in pollers.available()]
    for poller in here if options.poller == "all" else [options.poller]:
        environment = {**os.environ, **POLLERS[poller]}
        left = -(-options.total // options.operations)
        end = time.monotonic() + options.seconds if options.seconds is not None else None
        for seed in range(options.seed, options.seed + left):
            if end is not None and time.monotonic() > end:
                break
            command = [sys.executable, "-m", "tests.stress", f"--seed={seed}", f"--operations={options.operations}"]
            if poller == "select":
                command.append("--how=serve")  # it has no descriptor for others to join
            elif options.how is not None:
                command.append(f"--how={options.how}")
            if options.what is not None:
                command.append(f"--what={options.what}")
            if options.members is not None:
                command.append(f"--members={options.members}")
            status = subprocess.run(command, env=environment, check=False).returncode
            if status:
                return status
    return 0


def main() -> int:
    options = arguments()
    if options.poller is not None:
        return make_all(options)
    chosen = random.Random(options.seed)
    members = chosen.randrange(2, 9)
    how = chosen.choice(HOWS)
    what = options.what or {2: "together", 3: "server"}.get(options.seed % 4, "mixture")
    return make(Program(options.seed, options.members or members, options.how or how, options.operations, what))


if __name__ == "__main__":
    sys.exit(main())
