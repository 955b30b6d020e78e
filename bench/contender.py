"""What a row of a comparison is: a program, what it needs, and how it is to be run.

Knows how to find out whether a row can be measured here, and why not. Which rows there are is in `roster`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from shutil import which

import pollers
from bench.foreign import Foreign

__all__ = ["POLLER", "Contender", "Roster", "chosen", "environment_notes"]

POLLER = "SOCKET2_POLLER"


@dataclass(frozen=True)
class Contender:
    """One row of the roster.

    Args:
        name: its name in tables and for `--only`.
        command: the program and its arguments. It runs in the root of the repository.
        module: the top-level module that it needs, or None.
        env: its environment variables.
        below: another module that it needs, below the measured one.
        program: a program that it needs.
        foreign: how the program is built, if it is written in another language than Python or C.
        pinned: whether it runs on a core of its own. Otherwise it may use all cores.
        warmup_s: the least time to load it before it is measured, in seconds: a compiler at run time needs some.
    """

    name: str
    command: tuple[str, ...]
    module: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    below: str | None = None
    program: str | None = None
    foreign: Foreign | None = None
    pinned: bool = True
    warmup_s: float = 0.0

    def missing(self) -> str | None:
        """Return why it cannot be measured here, or None if it can. A foreign program is built if it is not yet."""
        for module in (self.module, self.below):
            if module is not None and find_spec(module) is None:
                return f"module {module} is not installed"
        if self.program is not None and which(self.program) is None:
            return f"program {self.program} is not installed"
        poller = self.env.get(POLLER)
        if poller is not None and poller not in pollers.available():
            return f"socket2 has no poller {poller!r} here"
        return self.foreign.missing() if self.foreign is not None else None

    def version(self) -> str | None:
        """Return the version of the measured distribution, or of a foreign program's compiler or library; None for the
        standard library, C, or a source tree."""
        if self.foreign is not None:
            return self.foreign.version()
        try:
            return version(self.module) if self.module else None
        except PackageNotFoundError:
            return None


Roster = tuple[Contender, ...]


def chosen(roster: Roster, names: Sequence[str] | None) -> Roster:
    """Return the rows to measure. The baseline is always the first, since ratios need it.

    Args:
        roster: the rows to choose from.
        names: the names of rows, None for all of them.

    Raises:
        ValueError: a name is not in the roster.
    """
    if names is None:
        return roster
    known = {row.name: row for row in roster}
    for name in names:
        if name not in known:
            raise ValueError(f"no row {name!r}: the rows are {', '.join(known)}")
    return (roster[0], *(known[name] for name in dict.fromkeys(names) if name != roster[0].name))


def environment_notes(rows: Roster) -> list[str]:
    """Return notes that say which rows run with which environment variables, and which are not on one core.

    Args:
        rows: the rows that are measured.
    """
    alike: dict[str, list[str]] = {}
    for row in rows:
        settings = {name: value for name, value in row.env.items() if not name.startswith("SOCKET2")}
        alike.setdefault(" ".join(f"{name}={value}" for name, value in settings.items()), []).append(row.name)
    notes = [f"with {words}: {', '.join(names)}" for words, names in alike.items() if words]
    free = [row.name for row in rows if not row.pinned]
    return [*notes, *([f"on all cores, and so also on that of the load generator: {', '.join(free)}"] if free else [])]
