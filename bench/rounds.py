"""Fair repetition: rounds interleaved over the servers, medians, and ratios within a round.

A B C A B C, never A A B B: the machine's mood drifts, and drift has to hit all servers alike. For the
same reason a ratio is taken between a server and the baseline of the same round, or of the nearest
round with cores as far apart; the median of these ratios is quoted. Each sample has a fresh server
process, since memory layout and hash seed move results too. A server that fails is out, not the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.distance import METRIC, alike
from bench.programs import BenchError
from bench.roster import BASELINE, Server
from bench.scenario import Sample

__all__ = ["Outcome", "Spread", "interleave", "moved_note", "ratio", "value"]


@dataclass
class Outcome:
    """What came of one server: samples by round; or why there are none, `absent` or `failed`."""

    server: Server
    samples: list[Sample] = field(default_factory=list)
    trouble: str | None = None

    @property
    def state(self) -> str:
        if self.trouble is None:
            return "measured"
        return "failed" if self.server.present() else "absent"


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the least and the greatest."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(median(values), min(values), max(values))


def interleave(
    servers: Sequence[Server],
    rounds: int,
    sample: Callable[[Server], Sample],
    progress: Callable[[str], None],
) -> list[Outcome]:
    """Take one sample of each server per round.

    Args:
        servers: rows of the roster, the baseline among them.
        rounds: how many times.
        sample: measures one server once.
        progress: told what is being measured now.

    Raises:
        BenchError: the baseline fails; there is nothing to compare with.
    """
    outcomes = [Outcome(server) for server in servers]
    for outcome in outcomes:
        if not outcome.server.present():
            outcome.trouble = f"module {outcome.server.module} is not installed"
    for number in range(1, rounds + 1):
        for outcome in outcomes:
            if outcome.trouble is not None:
                continue
            progress(f"round {number}/{rounds}: {outcome.server.name}")
            try:
                outcome.samples.append(sample(outcome.server))
            except BenchError as error:
                if outcome.server == BASELINE:
                    raise
                outcome.trouble = str(error)
    return outcomes


def value(outcome: Outcome, metric: str) -> Spread:
    """A metric over the rounds."""
    return Spread.of([sample[metric] for sample in outcome.samples])


def ratio(outcome: Outcome, baseline: Outcome, metric: str) -> Spread | None:
    """A metric against the baseline's; None where the baseline has zero, or was never alike."""
    quotients: list[float] = []
    for number, sample in enumerate(outcome.samples):
        partner = _partner(number, sample, baseline)
        if partner is not None and partner[metric] > 0:
            quotients.append(sample[metric] / partner[metric])
    return Spread.of(quotients) if quotients else None


def _partner(number: int, sample: Sample, baseline: Outcome) -> Sample | None:
    like = [
        (abs(number - other_number), other_number)
        for other_number, other in enumerate(baseline.samples)
        if alike(sample.get(METRIC, 0.0), other.get(METRIC, 0.0))
    ]
    return baseline.samples[min(like)[1]] if like else None


def moved_note(outcomes: Sequence[Outcome]) -> str | None:
    """A warning when the cores were not equally far apart in all samples."""
    distances = [sample.get(METRIC, 0.0) for outcome in outcomes for sample in outcome.samples]
    if not distances or alike(min(distances), max(distances)):
        return None
    return (
        f"CORES MOVED: {min(distances):.0f}-{max(distances):.0f} ns apart during the run. "
        "Ratios compare like with like, medians of absolute figures do not; see --share-core"
    )
