"""What this process is doing, as JSON data: another process prints it, or compares two of them.

Numbers that only grow have no rate here: whoever asks twice divides the difference by that of `monotonic_s`.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from time import monotonic, process_time
from typing import Any

from ..threads.inventory import enrolled
from ..version import __version__
from . import history
from .backlog import backlogs
from .snapshot import Snapshot, ThreadInfo, again


def facts(now: Snapshot) -> dict[str, Any]:
    """Return the facts about this process, without those about each thread."""
    listed = [each.facts() for each in again(enrolled)]
    return {
        "pid": os.getpid(),
        "socket2": __version__,
        "python": sys.version.split()[0],
        "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "monotonic_s": monotonic(),
        "cpu_s": process_time(),
        "memory_bytes": memory_bytes(),
        "loops": [asdict(loop) for loop in now.loops()],
        "kinds": _kinds(now),
        "queues": backlogs(),
        "servers": [each for each in listed if "server" in each and (each["connections"] or not each["stopping"])],
        "supervisor": next((each for each in listed if "workers" in each), None),
    }


def memory_bytes() -> int | None:
    """Return how much memory the process has in use (RSS); None if the system does not say. proc_pid_statm(5)."""
    if not hasattr(os, "sysconf"):
        return None
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _kinds(now: Snapshot) -> dict[str, dict[str, Any]]:
    """Return what the threads of each kind do now and have done since debugging was switched on."""
    alive: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for thread in now.alive():
        times = history.times_of(thread)
        kind = times.kind if times is not None else history.kind_of(thread, thread._coro)
        alive[kind] += 1
        waiting[kind] += thread.waiting_on is not None
    tallies: dict[str, list[history.Tally]] = {}
    for (_, kind), tally in again(lambda: list(history.tallies.items())):
        tallies.setdefault(kind, []).append(tally)
    at = monotonic()
    return {kind: _kind(alive[kind], waiting[kind], tallies.get(kind, []), at) for kind in alive.keys() | tallies}


def _kind(alive: int, waiting: int, tallies: list[history.Tally], at: float) -> dict[str, Any]:
    slowest_s, place = max((tally.slowest(at) for tally in tallies), key=lambda each: each[0], default=(0.0, None))
    return {
        "alive": alive,
        "waiting": waiting,
        "started": sum(tally.started for tally in tallies),
        "turns": sum(tally.turns for tally in tallies),
        "ran_s": sum(tally.ran_s for tally in tallies),
        "slowest_s": slowest_s,
        "slowest_at": str(place) if place is not None else None,
    }


def _thread(info: ThreadInfo) -> dict[str, Any]:
    names = ("name", "state", "waits_for", "local", "peer", "age_s", "since_s", "deadline_s", "os_thread", "started_by")
    return {name: getattr(info, name) for name in names} | {
        "at": str(info.at) if info.at is not None else None,
        "stack": [f"{place} in {place.function}" for place in info.stack],
    }


def text_of_facts(now: Snapshot) -> str:
    """Return the facts as a line of JSON."""
    return json.dumps(facts(now)) + "\n"


def text_of_everything(now: Snapshot) -> str:
    """Return the facts, and those about each thread as "threads", as a line of JSON."""
    return json.dumps(facts(now) | {"threads": list(map(_thread, now.threads()))}) + "\n"
