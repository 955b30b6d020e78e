"""A simulation of the kqueue part of `select` on Linux, with faults on demand.

It answers as recorded kernels did; tests/kqueue asks, and lists the differences. These remain: a wake-up
is noticed only at the next control(); the error of a connection is a guess; sizes of buffers are those of Linux.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .abi import ABI, IN_SELECT, name_in_select
from .faults import NONE, Faults
from .kevent import kevent
from .wrapper import kqueue

__all__ = ["Faults", "simulator"]


class _Simulator(SimpleNamespace):
    """`kqueue`, `kevent` and the KQ_ constants that CPython has."""

    kqueue: Any
    kevent: Any


def simulator(flavor: str = "freebsd", faults: Faults = NONE) -> _Simulator:
    """Return a module like select, for a system like `flavor`: "freebsd" or "macos"."""
    constants = {name_in_select(name): ABI[flavor][name] for name in IN_SELECT}
    return _Simulator(
        kqueue=type("kqueue", (kqueue,), {"flavor": flavor, "faults": faults}), kevent=kevent, **constants
    )
