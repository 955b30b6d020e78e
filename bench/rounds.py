"""Fair repetition: rounds interleaved over the rows, medians, and ratios within a round.

A B C A B C, never A A B B: the machine's mood drifts, and drift has to hit all rows alike. For the
same reason a ratio is taken between a row and the baseline of the same round, or of the nearest
round with cores as far apart; the median of these ratios is quoted. Each sample has a fresh process,
since memory layout and hash seed move results too. A row that fails is out, not the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.distance import METRIC, alike
from bench.programs import BenchError
from bench.roster import Contender
from bench.scenario import Case, Sample

__all__ = ["Outcome", "Spread", "Trial", "interleave", "moved_note", "ratio", "value"]


@dataclass
class Outcome:
    """What came of one row: samples by round; or why there are none, `absent` or `failed`."""

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
    """What came of one case: an outcome for each row, the baseline first."""

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
    """Take one sample of each row, for each case, per round.

    Args:
        cases: the settings to measure at.
        rows: the baseline first.
        rounds: how many times.
        progress: told what is being measured now, once per sample.

    Raises:
        BenchError: the baseline fails; there is nothing to compare with.
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
    """A metric over the rounds; None when the row does not have it."""
    values = [sample[metric] for sample in outcome.samples if metric in sample]
    return Spread.of(values) if values else None


def ratio(outcome: Outcome, baseline: Outcome, metric: str) -> Spread | None:
    """A metric against the baseline's; None where either has none, the baseline zero, or was never alike."""
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
    """A warning when the cores were not equally far apart in all samples."""
    samples = [sample for trial in trials for outcome in trial.outcomes for sample in outcome.samples]
    distances = [sample.get(METRIC, 0.0) for sample in samples]
    if not distances or alike(min(distances), max(distances)):
        return None
    return (
        f"CORES MOVED: {min(distances):.0f}-{max(distances):.0f} ns apart during the run. "
        "Ratios compare like with like, medians of absolute figures do not; see --share-core"
    )
