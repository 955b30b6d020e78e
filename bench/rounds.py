"""Fair repetition: rounds interleaved over the rows, medians, and ratios within a round.

The order is A B C A B C, never A A B B: the speed of the machine drifts, and the drift must affect all
rows alike. For the same reason a ratio compares a row with the baseline of the same round, or of the
nearest round in which the cores were equally far apart. The report has the median of these ratios. Each
sample has a fresh process, since memory layout and hash seed change results, too. If a row fails, only
that row is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.contender import Contender
from bench.distance import METRIC, alike
from bench.programs import BenchError
from bench.scenario import Case, Sample

__all__ = ["Outcome", "Spread", "Trial", "interleave", "moved_note", "ratio", "value"]


@dataclass
class Outcome:
    """The outcome of one row: a sample for each round; or why there are none, `absent` or `failed`."""

    row: Contender
    samples: list[Sample] = field(default_factory=list)
    trouble: str | None = None
    absent: bool = False

    @property
    def state(self) -> str:
        if self.trouble is None:
            return "measured"
        return "absent" if self.absent else "failed"


@dataclass(frozen=True)
class Trial:
    """The outcomes of one case, one for each row, the baseline first."""

    case: Case
    outcomes: Sequence[Outcome]


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
    cases: Sequence[Case], rows: Sequence[Contender], rounds: int, progress: Callable[[str], None]
) -> list[Trial]:
    """Take one sample of each row in each case per round.

    Args:
        cases: the settings to measure.
        rows: the rows, the baseline first.
        rounds: the number of rounds.
        progress: called before each sample, with what is being measured.

    Raises:
        BenchError: the baseline failed, so there is nothing to compare with.
    """
    trials = [Trial(case, [_expected(row) for row in rows]) for case in cases]
    for number in range(1, rounds + 1):
        for trial in trials:
            for outcome in trial.outcomes:
                progress(f"round {number}/{rounds} {trial.case.name} {outcome.row.name}")
                if outcome.trouble is None:
                    _take(trial.case, outcome, outcome is trial.outcomes[0])
    return trials


def _expected(row: Contender) -> Outcome:
    missing = row.missing()
    return Outcome(row, trouble=missing, absent=missing is not None)


def _take(case: Case, outcome: Outcome, baseline: bool) -> None:
    try:
        outcome.samples.append(case.sample(outcome.row))
    except BenchError as error:
        if baseline:
            raise
        outcome.trouble = str(error)


def value(outcome: Outcome, metric: str) -> Spread | None:
    """Return a metric over all rounds; None if the row does not have it."""
    values = [sample[metric] for sample in outcome.samples if metric in sample]
    return Spread.of(values) if values else None


def ratio(outcome: Outcome, baseline: Outcome, metric: str) -> Spread | None:
    """Return the ratio of a metric to the baseline's. None if one of them has no value, the baseline's is zero, or the
    cores were never equally far apart."""
    quotients: list[float] = []
    for number, sample in enumerate(outcome.samples):
        partner = _partner(number, sample, baseline)
        if partner is not None and metric in sample and partner.get(metric, 0.0) > 0:
            quotients.append(sample[metric] / partner[metric])
    return Spread.of(quotients) if quotients else None


def _partner(number: int, sample: Sample, baseline: Outcome) -> Sample | None:
    like = [
        (abs(number - other_number), other_number)
        for other_number, other in enumerate(baseline.samples)
        if alike(sample.get(METRIC, 0.0), other.get(METRIC, 0.0))
    ]
    return baseline.samples[min(like)[1]] if like else None


def moved_note(trials: Sequence[Trial]) -> str | None:
    """Return a warning if the cores were not equally far apart in all samples."""
    samples = [sample for trial in trials for outcome in trial.outcomes for sample in outcome.samples]
    distances = [sample[METRIC] for sample in samples if METRIC in sample]
    if not distances or alike(min(distances), max(distances)):
        return None
    return (
        f"CORES MOVED: {min(distances):.0f}-{max(distances):.0f} ns apart during the run. "
        "Ratios compare like with like, medians of absolute figures do not; see --share-core"
    )
