"""What a process can be asked about besides its threads: servers and supervisors enroll themselves.

Knows them by one method only. References are weak. A forked child has none of its parent's.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Listed(Protocol):
    def facts(self) -> dict[str, Any]:
        """Return what the object is doing, as JSON data. Any OS thread may call this."""


_enrolled: weakref.WeakKeyDictionary[Listed, int] = weakref.WeakKeyDictionary()


def enroll(listed: Listed) -> None:
    _enrolled[listed] = os.getpid()


def withdraw(listed: Listed) -> None:
    _enrolled.pop(listed, None)


def enrolled() -> list[Listed]:
    """Return what this process has put on the roll and still uses. Raises RuntimeError if that changes meanwhile."""
    return [listed for listed, pid in _enrolled.items() if pid == os.getpid()]
