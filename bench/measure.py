"""What a server has cost so far: its CPU clock and its memory; and how to have one running.

Knows the kernel's accounts. The total comes from the process's CPU clock, in nanoseconds and exact;
user and system time are sampled by the kernel in ticks of 10 ms, so only their proportion over a
whole measurement is used. Memory is the unique set size (private pages): shared libraries and the
interpreter's text are nobody's per-connection cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import BenchError, Program
from bench.roster import Contender

__all__ = ["Cpu", "Memory", "cpu_used", "memory_used", "serving"]

START_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Cpu:
    """CPU time of a process, all its threads: the exact total in seconds; user and system in kernel ticks."""

    total_s: float
    user_ticks: int
    system_ticks: int

    def since(self, before: Cpu) -> Cpu:
        """What was used after an earlier reading."""
        return Cpu(
            self.total_s - before.total_s,
            self.user_ticks - before.user_ticks,
            self.system_ticks - before.system_ticks,
        )

    @property
    def user_share(self) -> float:
        """The part of the total spent in user mode, 0 to 1."""
        return self.user_ticks / max(1, self.user_ticks + self.system_ticks)


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process in bytes: all, with shared pages divided by their users, private only."""

    rss: int
    pss: int
    uss: int


def cpu_used(pid: int) -> Cpu:
    """Read the CPU account of a process."""
    # The clock id of another process, as clock_getcpuclockid(3) makes it.
    total_ns = time.clock_gettime_ns((~pid << 3) | 2)
    # The program's name, in parentheses, may contain spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Cpu(total_ns / 1e9, int(fields[11]), int(fields[12]))


def memory_used(pid: int) -> Memory:
    """Read the memory account of a process."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


@contextmanager
def serving(server: Contender, core: int | None) -> Iterator[tuple[Program, int]]:
    """Have a server running; gives its program and port.

    Args:
        server: a row of the roster.
        core: the core to pin it to, None for any.

    Raises:
        BenchError: it did not come up; or what the block raised, with the server's last words.
    """
    with Program(server.name, server.command, core, server.env) as program:
        port = int(program.expect("ready", START_TIMEOUT_S))
        try:
            yield program, port
        except BenchError as error:
            # The load generator sees only that the server is gone; why, the server has said.
            raise BenchError(f"{error}{program.last_words()}") from error
