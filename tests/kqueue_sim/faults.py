"""What can be made to go wrong, as it has gone wrong on one system or another."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """Knobs of a simulator, all off."""

    interrupted: bool = False
    """A signal ends each wait once: Python hands the changes in again, which the kernel has applied already."""

    stale: bool = False
    """With every event come, though nothing has happened there, all other enabled EV_CLEAR ones, and once more those
    that have been deleted or whose descriptor was closed since."""

    refused: Mapping[str, int] = field(default_factory=dict)
    """The errno of every change that has this flag ("EV_ADD", "EV_DELETE") and is about a descriptor."""

    one_event: bool = False
    """However many are asked for, one at a time is returned."""

    no_hints: bool = False
    """`data` and `fflags` are 0: no byte count, no backlog, no so_error."""

    no_user_filter: bool = False
    """EVFILT_USER is not there: NetBSD before 10, OpenBSD."""

    no_kqueue: int = 0
    """The errno of kqueue() itself."""

    closed_by_fork: bool = sys.version_info >= (3, 12, 1)
    """In a forked child the kqueue objects are closed, as since 3.12.1; before, they keep a descriptor that is gone."""


NONE = Faults()

# One knob at a time, for tests that have to pass with any of them.
BY_NAME = {
    "interrupted": Faults(interrupted=True),
    "stale": Faults(stale=True),
    "refused-delete": Faults(refused={"EV_DELETE": errno.EINVAL}),
    "one-event": Faults(one_event=True),
    "no-hints": Faults(no_hints=True),
    "no-user-filter": Faults(no_user_filter=True),
}
