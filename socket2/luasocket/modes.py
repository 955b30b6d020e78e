"""Choosing one of several kinds by name: `sink("keep-open", sock)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def choose(table: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return a function that looks its first argument up in the table and calls the entry with the other arguments.

    If the first argument is not a string, the entry is "default". Raises ValueError if the name is unknown.
    """

    def chosen(name: Any, *options: Any) -> Any:
        if not isinstance(name, str):
            name, options = "default", (name, *options)
        if name not in table:
            raise ValueError(f"unknown key ({name}): expected one of {', '.join(table)}")
        return table[name](*options)

    return chosen
