"""What the threads are doing, as text: a table, a tree, stacks, counters.

Names and addresses may come from outside the program. A terminal obeys control characters, so they are escaped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from ..threads.thread import Thread
from ..version import __version__
from .facts import text_of_everything, text_of_facts
from .snapshot import LoopStats, Snapshot, ThreadInfo
from .stacks import text_of_places

_HEADINGS = ("THREAD", "STATE", "FOR", "AGE", "WAITS FOR", "LOCAL", "PEER", "DEADLINE", "AT")
_GROUP_NAMES_MAX = 5


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def text_of_time(seconds: float | None) -> str:
    """Return '12 ms', '3.4 s', '5 min', '7.5 h' or '3 d'; '-' for None."""
    if seconds is None:
        return "-"
    sign, seconds = "-" * (seconds < 0), abs(seconds)
    if seconds < 1:
        return f"{sign}{seconds * 1000:.0f} ms"
    for size, unit, next_size in ((1, "s", 100), (60, "min", 6000), (3600, "h", 360_000)):
        if seconds < next_size:
            return f"{sign}{seconds / size:.3g} {unit}"
    return f"{sign}{seconds / 86400:.0f} d"


def table(infos: Iterable[ThreadInfo]) -> str:
    """Return one line for each thread."""
    return columns([_HEADINGS, *map(_row, infos)])


def _row(info: ThreadInfo, indent: str = "") -> tuple[str, ...]:
    deadline = "-" if info.deadline_s is None else f"in {text_of_time(max(info.deadline_s, 0))}"
    return (
        indent + printable(info.name),
        info.state,
        text_of_time(info.since_s),
        text_of_time(info.age_s),
        printable(info.waits_for or "-"),
        printable(info.local or "-"),
        printable(info.peer or "-"),
        deadline,
        printable(str(info.at or "-")),
    )


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def tree(infos: Sequence[ThreadInfo]) -> str:
    """Return the table, with each thread below the one that started it, or else joins it."""
    known = {info.thread for info in infos}
    below: dict[Thread[object] | None, list[ThreadInfo]] = {}
    for info in infos:
        below.setdefault(info.parent if info.parent in known else None, []).append(info)
    rows = [_row(info, "  " * depth) for depth, info in _depth_first(infos, below)]
    return columns([_HEADINGS, *rows])


def _depth_first(
    infos: Iterable[ThreadInfo], below: dict[Thread[object] | None, list[ThreadInfo]]
) -> Iterator[tuple[int, ThreadInfo]]:
    """Yield each thread once, with its depth. Threads that join each other in a cycle have no root, and come last."""
    told: set[Thread[object]] = set()
    roots = [*below.get(None, ()), *infos]
    pending = [(0, info) for info in reversed(roots)]
    while pending:
        depth, info = pending.pop()
        if info.thread not in told:
            told.add(info.thread)
            yield depth, info
            pending += [(depth + 1, child) for child in reversed(below.get(info.thread, ()))]


def stack(info: ThreadInfo) -> str:
    """Return what one thread is doing, and its stack."""
    return f"{_heading(info)}\n{text_of_places(info.stack)}"


def _heading(info: ThreadInfo) -> str:
    parts = [f"thread '{printable(info.name)}', {info.state}"]
    if info.os_thread is not None:
        parts.append(f"in OS thread {printable(info.os_thread)}")
    if info.waits_for is not None:
        parts.append(printable(info.waits_for))
    if info.peer is not None:
        parts.append(f"peer {printable(info.peer)}")
    elif info.local is not None:
        parts.append(f"at {printable(info.local)}")
    for words, seconds in (("for", info.since_s), ("deadline in", info.deadline_s), ("age", info.age_s)):
        if seconds is not None:
            parts.append(f"{words} {text_of_time(seconds)}")
    if info.started_by is not None:
        parts.append(f"started by '{printable(info.started_by)}'")
    return ", ".join(parts)


def stacks(infos: Iterable[ThreadInfo]) -> str:
    """Return the stack of each thread. Threads that wait at the same place share one stack."""
    groups: dict[object, list[ThreadInfo]] = {}
    for info in infos:
        groups.setdefault((info.stack, info.state), []).append(info)
    return "\n".join(_text_of_group(group) for group in groups.values())


def _text_of_group(group: Sequence[ThreadInfo]) -> str:
    headings = [_heading(info) for info in group[:_GROUP_NAMES_MAX]]
    if len(group) > _GROUP_NAMES_MAX:
        headings.append(f"and {len(group) - _GROUP_NAMES_MAX} more in the same place")
    return "\n".join([*headings, text_of_places(group[0].stack)])


def counters(loops: Iterable[LoopStats]) -> str:
    """Return the counters of each loop."""
    return "".join(
        f"loop of {printable(', '.join(loop.os_threads)) or 'no OS thread now'}: poller {loop.poller}, "
        f"threads {loop.threads}, ready {loop.ready}, timers {loop.timers}, sockets {loop.attached}, "
        f"waiting for sockets {loop.parked}, polls {loop.polls}, events {loop.events}, wake-ups {loop.wakeups}, "
        f"steps {loop.steps}\n"
        for loop in loops
    )


def _heads() -> str:
    version = sys.version.split()[0]
    return f"process {os.getpid()}, socket2 {__version__}, Python {version}, {datetime.now():%Y-%m-%d %H:%M:%S}\n"


def _report_ps(now: Snapshot) -> str:
    infos = now.threads()
    running = "\n".join(stack(info) for info in infos if info.state == "running")
    return f"{_heads()}{counters(now.loops())}\n{table(infos)}" + f"\n{running}" * bool(running)


def _report_tree(now: Snapshot) -> str:
    return f"{_heads()}\n{tree(now.threads())}"


def _report_stacks(now: Snapshot) -> str:
    return f"{_heads()}\n{stacks(now.threads())}"


def _report_everything(now: Snapshot) -> str:
    infos = now.threads()
    return f"{_heads()}{counters(now.loops())}\n{table(infos)}\n{stacks(infos)}"


def _report_stats(now: Snapshot) -> str:
    return f"{_heads()}{counters(now.loops())}"


REPORTS: dict[str, Callable[[Snapshot], str]] = {
    "ps": _report_ps,
    "tree": _report_tree,
    "stacks": _report_stacks,
    "stats": _report_stats,
    "everything": _report_everything,
    "facts": text_of_facts,
    "json": text_of_everything,
}
"""The reports that another process can ask for."""


def report(kind: str = "ps") -> str:
    """Return one of REPORTS about this process."""
    with Snapshot() as now:
        return REPORTS[kind](now)
