"""What a server has cost so far: its CPU time and its memory; and how to run a server.

Knows the kernel's accounts, and adds up those of a server's whole process tree. The total comes from
the CPU clocks of its processes, which are exact and count nanoseconds. The kernel samples user and
system time in ticks of 10 ms, so only their proportion over a whole measurement is used. Memory is the
unique set size (private pages), since shared libraries and the interpreter's code cost nothing per
connection.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contender import Contender
from bench.programs import BenchError, Program

__all__ = ["Cpu", "Memory", "cpu_used", "memory_used", "processes", "serving"]

START_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Cpu:
    """The CPU time of a server: the exact total in seconds; user and system in kernel ticks; and its minor faults.

    Minor faults are pages that the kernel has given it anew. Many of them mean that its allocator gives memory back
    and takes it again, which costs more than most requests.
    """

    total_s: float
    user_ticks: int
    system_ticks: int
    minor_faults: int

    def since(self, before: Cpu) -> Cpu:
        """Return the CPU time used since an earlier reading."""
        return Cpu(
            self.total_s - before.total_s,
            self.user_ticks - before.user_ticks,
            self.system_ticks - before.system_ticks,
            self.minor_faults - before.minor_faults,
        )

    @property
    def user_share(self) -> float:
        """The part of the total spent in user mode, 0 to 1."""
        return self.user_ticks / max(1, self.user_ticks + self.system_ticks)


@dataclass(frozen=True)
class Memory:
    """The resident memory of a server in bytes: all pages, pages divided by the number of users, private pages."""

    rss: int
    pss: int
    uss: int


def processes(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from processes(int(child))


def cpu_used(pid: int) -> Cpu:
    """Read the CPU time of a server: of a process and its descendants."""
    total_ns = user_ticks = system_ticks = minor_faults = 0
    for process in processes(pid):
        # The clock id of another process, as clock_getcpuclockid(3) computes it.
        total_ns += time.clock_gettime_ns((~process << 3) | 2)
        # The program's name, in parentheses, may contain spaces.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        minor_faults += int(fields[7])
        user_ticks += int(fields[11])
        system_ticks += int(fields[12])
    return Cpu(total_ns / 1e9, user_ticks, system_ticks, minor_faults)


def memory_used(pid: int) -> Memory:
    """Read the memory use of a server: of a process and its descendants."""
    sizes: Counter[str] = Counter()
    for process in processes(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            sizes[name] += int(rest.split()[0]) * 1024
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"])


@contextmanager
def serving(server: Contender, core: int | None) -> Iterator[tuple[Program, int]]:
    """Run a server for the block, which gets its program and port.

    Args:
        server: a row of the roster.
        core: the core to pin it to, None for any. A row may ask for all cores.

    Raises:
        BenchError: the server did not start; or the block's error, with the last lines of the server's stderr.
    """
    with Program(server.name, server.command, core if server.pinned else None, server.env) as program:
        port = int(program.expect("ready", START_TIMEOUT_S))
        try:
            yield program, port
        except BenchError as error:
            # The load generator sees only that the server has gone. The server's stderr says why.
            raise BenchError(f"{error}{program.last_words()}") from error
