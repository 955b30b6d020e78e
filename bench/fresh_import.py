"""The program behind scenario import: what `import MODULE` costs in a fresh interpreter.

Knows this process's CPU clock and private memory before and after. It imports little itself: modules that every
interpreter has anyway, or that each of the measured modules would load first.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module


def _private_bytes() -> int:
    with open("/proc/self/smaps_rollup") as file:
        sizes = {line.split(":")[0]: line.split()[1] for line in file.readlines()[1:]}
    return (int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])) * 1024


def main(module: str) -> None:
    modules, before = len(sys.modules), _private_bytes()
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    import_module(module)
    cpu_ns = time.process_time_ns() - cpu_ns
    wall_ns = time.perf_counter_ns() - wall_ns
    grown, count = _private_bytes() - before, len(sys.modules) - modules
    print(
        f'result {{"cpu_ms": {cpu_ns / 1e6}, "wall_ms": {wall_ns / 1e6}, "mib": {grown / 2**20}, "modules": {count}}}'
    )


if __name__ == "__main__":
    main(sys.argv[1])
