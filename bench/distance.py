"""How far apart the two cores are, and whether two samples were taken under similar conditions.

Knows bench/c/distance.c. The host of a virtual machine moves its cores, and the same request then
costs a third more or less. So each sample has the distance, and only similar samples are compared.
"""

from __future__ import annotations

from bench.build import BUILD
from bench.machine import Placement
from bench.programs import Program

__all__ = ["METRIC", "alike", "core_distance_ns"]

METRIC = "core_distance_ns"
# Typical distances: 70-120 ns between cores that share a cache, 320-390 ns between others.
LIKE_FACTOR = 1.6
TIMEOUT_S = 60.0


def core_distance_ns(placement: Placement) -> float:
    """Return the time that a cache line takes between the two cores and back, in nanoseconds; 0 for a single core."""
    if placement.server_core is None or placement.load_core in (None, placement.server_core):
        return 0.0
    command = [str(BUILD / "distance"), str(placement.server_core), str(placement.load_core)]
    with Program("distance", command) as program:
        return float(program.expect("distance", TIMEOUT_S))


def alike(one_ns: float, other_ns: float) -> bool:
    """Return whether two distances, in nanoseconds, are so similar that samples at them can be compared."""
    return max(one_ns, other_ns) <= LIKE_FACTOR * min(one_ns, other_ns)
