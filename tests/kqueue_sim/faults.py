"""Faults of the simulator. Each has happened on some system."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """The switches of a simulator, all off."""

    interrupted: bool = False
    """A signal ends each wait once: Python submits the changes again, which the kernel has applied already."""

    stale: bool = False
    """With every event all other enabled EV_CLEAR events come, although nothing has happened there, and once more those
    that have been deleted or whose descriptor was closed since."""

    refused: Mapping[str, int] = field(default_factory=dict)
    """The errno of every change that has this flag ("EV_ADD", "EV_DELETE") and concerns a descriptor."""

    one_event: bool = False
    """Each call returns only one event, however many are requested."""

    no_hints: bool = False
    """`data` and `fflags` are 0: no byte count, no backlog, no so_error."""

    no_user_filter: bool = False
    """There is no EVFILT_USER, as on OpenBSD and on NetBSD before 10."""

    no_kqueue: int = 0
    """The errno of kqueue() itself."""

    closed_by_fork: bool = sys.version_info >= (3, 12, 1)
    """In a forked child the kqueue objects are closed, as since Python 3.12.1. Off: they keep a closed descriptor."""


NONE = Faults()

# One switch at a time, for tests that must pass with any of them.
BY_NAME = {
    "interrupted": Faults(interrupted=True),
    "stale": Faults(stale=True),
    "refused-delete": Faults(refused={"EV_DELETE": errno.EINVAL}),
    "one-event": Faults(one_event=True),
    "no-hints": Faults(no_hints=True),
    "no-user-filter": Faults(no_user_filter=True),
}
