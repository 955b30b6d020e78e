"""The pollers that the contract runs over: this machine's, and a simulated kqueue if the system has none.

SOCKET2_POLLER limits them to that one and its variants ("kqueue-macos", and one for each fault of the simulator).
"""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable
from typing import Any

import pollers
from pollers.readiness.kqueue import Kqueue
from pollers.readiness.select import Select

Factory = Callable[[], Any]

_MACHINE: dict[str, Factory] = {
    name: functools.partial(pollers.choose, name, checked=False)
    for name in pollers.available()
    if hasattr(select, "kqueue") or name != "kqueue"
}
_KINDS: dict[str, Factory] = dict(_MACHINE)
if hasattr(select, "poll"):  # otherwise "select" means this one
    _KINDS["select(2)"] = functools.partial(Select, use_poll=False)
_FAULTY: dict[str, Factory] = {}
# It answers as Linux does, with the numbers of this system.
_SIMULATED: dict[str, Factory] = {}
if sys.platform == "linux":
    _SIMULATED["simulated"] = functools.partial(pollers.choose, "simulated", checked=False)

if not hasattr(select, "kqueue") and hasattr(select, "epoll"):  # the simulator is built on it
    from tests.kqueue_sim import simulator
    from tests.kqueue_sim.faults import BY_NAME

    _KINDS |= {f"kqueue-{flavor}": functools.partial(Kqueue, simulator(flavor)) for flavor in ("freebsd", "macos")}
    _FAULTY |= {f"kqueue-{name}": functools.partial(Kqueue, simulator(faults=it)) for name, it in BY_NAME.items()}


def names(*, simulated: bool = False) -> list[tuple[str, str]]:
    """Return every kind to test, and in which manner. A kind with a fault is tested only bare.

    `simulated`: the caller lets the sockets of tests/simulated stand in for the kernel's.
    """
    named = os.environ.get("SOCKET2_POLLER")
    kinds = [*_KINDS, *_SIMULATED] if simulated or named in _SIMULATED else [*_KINDS]
    every = [(kind, manner) for kind in kinds for manner in ("bare", "checked", "shared")]
    return [
        (kind, manner)
        for kind, manner in [*every, *((kind, "bare") for kind in _FAULTY)]
        if not named or kind == named or kind.startswith(f"{named}-")
    ]


def for_programs() -> list[tuple[str, str]]:
    """Return the kinds for tests of whole programs: each bare and without faults, and one of them checked."""
    bare = [(kind, manner) for kind, manner in names() if manner == "bare" and kind not in _FAULTY]
    return [*bare, (bare[0][0], "checked")]


def make(kind: str, *, checked: bool = False) -> pollers.Poller:
    poller: pollers.Poller = (_KINDS | _FAULTY | _SIMULATED)[kind]()
    if checked:
        from pollers.checked.checking import Checked

        return Checked(poller)
    return poller
