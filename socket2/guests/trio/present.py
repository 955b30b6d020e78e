"""The trio that runs in this OS thread beside our loop, if any. There is one at most: trio refuses a second one."""

from __future__ import annotations

import threading

import pollers

from ..crossing import Work


class Present(pollers.Unique):
    """A trio that runs. `works`: what our threads wait for in it."""

    __slots__ = ("works",)

    def __init__(self) -> None:
        self.works: dict[Work, None] = {}

    def has_ended(self) -> None:
        """Fail the work that trio has not ended."""
        while self.works:
            work, _ = self.works.popitem()
            if not work.over:
                work.fail(ended())


class _Local(threading.local):
    present: Present | None = None


local = _Local()


def ended() -> RuntimeError:
    return RuntimeError("trio ended before this did")


def the_present() -> Present:
    """Return the trio of this OS thread. Raises RuntimeError if none runs."""
    if local.present is None:
        raise RuntimeError("trio does not run in the loop of this OS thread: start it with trio_run()")
    return local.present
