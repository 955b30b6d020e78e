"""What has several kinds, of which a program names one: `sink("keep-open", sock)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def choose(table: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return a function that calls the one of the table's that its first argument names, with the others.

    Without a name it is the one under "default". ValueError for a name that is not there.
    """

    def chosen(name: Any, *options: Any) -> Any:
        if not isinstance(name, str):
            name, options = "default", (name, *options)
        if name not in table:
            raise ValueError(f"unknown key ({name}): it is one of {', '.join(table)}")
        return table[name](*options)

    return chosen
