"""The machine: which cores and how many connections a run may use, and the facts that a reader of results needs.

Knows /proc, /sys and resource limits, and nothing of servers. Every compromise (no second core, fewer
connections than requested, a busy machine) becomes a note in the report. A silent fallback would make
two runs look comparable that are not.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import socket2
from bench.build import compiler_version
from bench.programs import BenchError

__all__ = ["Placement", "busy_note", "describe", "place", "spare_connections"]

# Besides its connections, a server has a listener, a poller and open modules, and the load generator has pipes.
FDS_RESERVED = 200
PORTS_RESERVED = 1000
BUSY_SHARE = 0.05
WATCH_S = 0.5


@dataclass(frozen=True)
class Placement:
    """Where programs run: core numbers, or None if they are not pinned. `note` says it in words."""

    server_core: int | None
    load_core: int | None
    note: str


def place(share: bool) -> Placement:
    """Choose a core for the server and one for the load generator.

    Args:
        share: use the same core for both. Otherwise the load generator gets another core, if possible not a
            hyperthread sibling.
    """
    # The server gets the last core: interrupts and the rest of the system tend to use the first ones.
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    if len(cores) < 2:
        return Placement(None, None, "NOT PINNED: one core only, server and load generator share it")
    server = cores[0]
    if share:
        return Placement(server, server, f"server and load generator share core {server}: look at CPU, not at speed")
    apart = [core for core in cores[1:] if core not in _siblings(server)]
    load = apart[0] if apart else cores[1]
    note = f"server on core {server}, load generator on core {load}"
    return Placement(server, load, note if apart else note + ", SIBLINGS of one physical core")


def _siblings(core: int) -> set[int]:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        text = path.read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def spare_connections(wanted: int) -> tuple[int, str | None]:
    """Raise the descriptor limit, and return how many connections are possible.

    Args:
        wanted: the number of connections requested.

    Returns:
        The number to open, at most `wanted`, and a note if it is less.

    Raises:
        BenchError: none is possible.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    limits = {"free local ports": last - first + 1 - PORTS_RESERVED}
    if hard != resource.RLIM_INFINITY:
        limits[f"the descriptor limit of {hard}"] = hard - FDS_RESERVED
    reason = min(limits, key=lambda name: limits[name])
    if limits[reason] < 1:
        raise BenchError(f"no room for connections: {reason}")
    if wanted <= limits[reason]:
        return wanted, None
    return limits[reason], f"{limits[reason]} connections, not {wanted}: {reason}"


def busy_note() -> str | None:
    """Return a warning if other programs use the machine. Nothing of ours may run during this call."""
    # The load average would include the run before this one.
    used, total = _cpu_ticks()
    time.sleep(WATCH_S)
    used_later, total_later = _cpu_ticks()
    share = (used_later - used) / max(1, total_later - total)
    return f"BUSY MACHINE: others used {share:.0%} of it before the run" if share > BUSY_SHARE else None


def _cpu_ticks() -> tuple[int, int]:
    """Return the ticks that all cores have used, and all ticks."""
    user, nice, system, idle, iowait, *others = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    used = user + nice + system + sum(others)
    return used, used + idle + iowait


def describe() -> dict[str, object]:
    """Return the facts that a later reader cannot find out: time, machine, versions, command, environment."""
    return {
        "socket2": socket2.__version__,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": ["python", "-m", "bench", *sys.argv[1:]],
        "commit": _commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "compiler": compiler_version(),
        "cores": sorted(os.sched_getaffinity(0)),
        "load_average_1min": os.getloadavg()[0],
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("PYTHON", "SOCKET2"))},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.processor() or "unknown"


def _commit() -> str | None:
    """Return the measured commit, with "+" if the tree has changes; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
