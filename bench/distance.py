"""How far apart the two cores are, and whether two samples were taken under like conditions.

Knows bench/c/distance.c. On a virtual machine the host moves cores about, and the same request then
costs a third more or less. So samples carry the distance, and only like samples are compared.
"""

from __future__ import annotations

from bench.build import BUILD
from bench.machine import Placement
from bench.programs import Program

__all__ = ["METRIC", "alike", "core_distance_ns"]

METRIC = "core_distance_ns"
# Typical: 70-120 ns between neighbours under one cache, 320-390 ns between strangers.
LIKE_FACTOR = 1.6
TIMEOUT_S = 10.0


def core_distance_ns(placement: Placement) -> float:
    """The time a cache line takes between the two cores and back, in nanoseconds; 0 if there are no two."""
    if placement.server_core is None or placement.load_core in (None, placement.server_core):
        return 0.0
    command = [str(BUILD / "distance"), str(placement.server_core), str(placement.load_core)]
    with Program("distance", command) as program:
        return float(program.expect("distance", TIMEOUT_S))


def alike(one_ns: float, other_ns: float) -> bool:
    """Whether two distances, in nanoseconds, are near enough to compare what was measured at them."""
    return max(one_ns, other_ns) <= LIKE_FACTOR * min(one_ns, other_ns)
