"""Loads the parts of this package that also exist in C, if they were built and SOCKET2_NATIVE allows them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

import pollers

Method = TypeVar("Method", bound=Callable[..., Any])


def in_c(name: str, package: str = "socket2") -> ModuleType | None:
    """Return the C module `name` of a package, or None if it is missing or switched off."""
    if pollers.native_status() != "yes":
        return None
    try:
        return importlib.import_module(f".{name}", package)
    except ImportError:
        return None


_shortcut = None if pollers.CHECKING else in_c("_shortcut")  # checked operations know their caller by Python frames


def shortcut(method: Method) -> Method:
    """Decorate a socket method that only calls the handle's method of the same name.

    It passes its one argument and the socket, and puts the timeout of its direction around the operation. The C version
    does this without a Python frame. In unusual cases, for instance if the socket is not attached yet, it calls the
    decorated function.
    """
    return method if _shortcut is None else _shortcut.Shortcut(method)
