"""The source files of the project's own modules."""

from __future__ import annotations

from .interop.peers import ROOT


def modules_in(room: str, names: str = "") -> set[str]:
    """Return the full names of all Python files of a room, or of the given ones, which must exist."""
    found = {path.stem: str(path) for path in (ROOT / room).rglob("*.py")}
    return {found[name] for name in names.split() or found}
