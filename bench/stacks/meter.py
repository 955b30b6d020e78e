"""CPU and wall-clock time per operation of a stretch of code, for all OS threads of this process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Collects two metrics for each stretch: NAME_ns, CPU time per operation, and NAME_per_s, operations per second."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    @contextmanager
    def measuring(self, name: str, operations: int) -> Iterator[None]:
        """Measure the block.

        Args:
            name: the first part of the metrics' names.
            operations: how many operations the block does.
        """
        wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        yield
        cpu_ns = time.process_time_ns() - cpu_ns
        wall_ns = time.perf_counter_ns() - wall_ns
        self.metrics[f"{name}_ns"] = cpu_ns / operations
        self.metrics[f"{name}_per_s"] = operations / wall_ns * 1e9

    def print_result(self) -> None:
        """Print the metrics on one line, for the harness."""
        print("result", json.dumps(self.metrics), flush=True)
