"""The parts of this package that are there in C as well, if they were built and are wanted (SOCKET2_NATIVE)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import pollers

Method = TypeVar("Method", bound=Callable[..., Any])


def in_c(name: str, package: str = "socket2") -> ModuleType | None:
    """Return the module of that name in a package, which is in C, or None."""
    if pollers.native_status() != "yes":
        return None
    try:
        return importlib.import_module(f".{name}", package)
    except ImportError:
        return None


_shortcut = in_c("_shortcut")


def shortcut(method: Method) -> Method:
    """Mark a method of a socket class that calls the method of its handle of that name, with the socket behind its one
    argument, unless the socket is not attached yet or has a Setup. In C that takes no Python frame.
    """
    return method if _shortcut is None else _shortcut.Shortcut(method)
