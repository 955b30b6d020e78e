"""The OpenMetrics text format: families of samples, each with a name, labels and a number.

A sample must not come twice. Objects that share a name and all labels, such as two servers at one address, are summed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal, TypeAlias

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Labels: TypeAlias = tuple[tuple[str, str], ...]

# What the name of a sample has behind that of its family.
_SUFFIX = {"counter": "_total", "gauge": "", "info": "_info"}


class Family:
    """Samples with one name. They have a suffix and labels."""

    __slots__ = ("kind", "meaning", "samples")

    def __init__(self, kind: Kind, meaning: str) -> None:
        self.kind = kind
        self.meaning = meaning
        self.samples: dict[tuple[str, Labels], float] = {}

    def add(self, suffix: str, labels: Labels, value: float) -> None:
        key = suffix, labels
        self.samples[key] = self.samples.get(key, 0) + value


class Exposition:
    """The families of one answer."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, name: str, kind: Kind, meaning: str, value: float, **labels: str) -> None:
        """Add a sample to the family `name`, which comes into being with its first one."""
        self.family(name, kind, meaning).add(_SUFFIX[kind], tuple(labels.items()), value)

    def family(self, name: str, kind: Kind, meaning: str) -> Family:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(kind, meaning)
        return family

    def histogram(
        self, name: str, meaning: str, bounds: tuple[float, ...], counts: list[int], total: float, labels: Labels
    ) -> None:
        """Add a histogram. `counts`: how many were at most as large as each bound but larger than the one before it;
        the last number is of those above all bounds. `total`: the sum of all values.
        """
        family = self.family(name, "histogram", meaning)
        below = 0
        for bound, count in zip((*map(repr, bounds), "+Inf"), counts, strict=True):
            below += count
            family.add("_bucket", (*labels, ("le", bound)), below)
        family.add("_count", labels, below)
        family.add("_sum", labels, total)

    def text(self) -> str:
        return "".join(self._lines()) + "# EOF\n"

    def _lines(self) -> Generator[str, None, None]:
        for name, family in self._families.items():
            yield f"# TYPE {name} {family.kind}\n# HELP {name} {_escaped(family.meaning)}\n"
            for (suffix, labels), value in family.samples.items():
                inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
                yield f"{name}{suffix}{'{' if inside else ''}{inside}{'}' if inside else ''} {value!r}\n"

    # On its way to another process.

    def as_data(self) -> list[Any]:
        """Return everything as JSON data, for merge()."""
        return [
            [name, family.kind, family.meaning, [[*key, value] for key, value in family.samples.items()]]
            for name, family in self._families.items()
        ]

    def merge(self, data: list[Any], **labels: str) -> None:
        """Add what as_data() has returned, and these labels to each of its samples."""
        more = tuple(labels.items())
        for name, kind, meaning, samples in data:
            family = self.family(name, kind, meaning)
            for suffix, own, value in samples:
                family.add(suffix, (*more, *((label, text) for label, text in own)), value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
