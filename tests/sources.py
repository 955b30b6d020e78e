"""Where the text of the project's own modules is."""

from __future__ import annotations

from .interop.peers import ROOT


def modules_in(room: str, names: str = "") -> set[str]:
    """The full names of a room's Python files, of all or of these: each is there."""
    found = {path.stem: str(path) for path in (ROOT / room).rglob("*.py")}
    return {found[name] for name in names.split() or found}
