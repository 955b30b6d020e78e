"""The columns of every scenario that loads a server: what one request, message or connection costs.

Knows the metrics of `under_load`. Instructions and system calls are only there if perf could count them.
"""

from __future__ import annotations

from bench.scenario import Column

__all__ = ["cost_columns"]


def cost_columns(thing: str, short: str, *more: Column) -> tuple[Column, ...]:
    """Return the columns.

    Args:
        thing: what is counted, as in the names of metrics: request.
        short: how the table calls it: req.
        more: columns to append.
    """
    counted = "connections" if thing == "connection" else "requests"
    return (
        Column(f"cpu_us_per_{thing}", f"cpu us/{short}", 2, ratio=True, spread=True),
        Column(f"user_us_per_{thing}", "user", 2),
        Column(f"system_us_per_{thing}", "sys", 2),
        Column(f"instructions_per_{thing}", f"instr/{short}"),
        Column(f"syscalls_per_{thing}", f"calls/{short}", 2),
        Column(f"faults_per_{thing}", f"faults/{short}", 2),
        Column("busy_percent", "busy %"),
        Column(f"{counted}_per_s", f"{short}/s", ratio=True),
        Column("p50_us", "p50 us", ratio=True),
        Column("p99_us", "p99 us", ratio=True),
        *more,
    )
