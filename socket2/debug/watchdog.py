"""Reports threads that block the loop, and the code they are in.

An OS thread watches what the loops run. It sees nothing while C code holds the interpreter. A turn that it missed, or
that was too short for it to see, is reported with its duration once it is over.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic

from ..threads.journal import Journal
from ..threads.scheduler import PoolThread
from . import history
from .listing import printable, text_of_time
from .snapshot import again
from .stacks import frames_of_os_threads, frames_of_running, places_of, text_of_places

log = Journal("socket2.debug")


class Watchdog:
    """Watches until stop(). Reports a turn longer than `limit_s`, while it lasts and when it is over."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._reported: dict[int, tuple[history.Times, int]] = {}  # the thread and its turn, by OS thread
        self._ending = threading.Event()
        self._thread = PoolThread(target=self._watch, name="socket2 watchdog", daemon=True)

    def start(self) -> None:
        history.overran = self._over
        self._thread.start()

    def stop(self) -> None:
        history.overran = None
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(self.limit_s / 2):
            for ident, times in again(lambda: list(history.running.items())):
                since = times.turn
                if since is not None and monotonic() - since > self.limit_s:
                    self._report(ident, times, since)

    def _report(self, ident: int, times: history.Times, since: float) -> None:
        turn = times, times.steps
        if self._reported.get(ident) == turn or not log.wants(logging.WARNING):
            return
        places = places_of(frames_of_running(times.coro, frames_of_os_threads())[1])
        if history.running.get(ident) is not times or times.turn != since:
            return  # the turn is over: the stack belongs to something else
        self._reported[ident] = turn
        ran_s = monotonic() - since
        log.warning(
            "thread '%s' has been running for %s and blocks the loop; it is here:\n%s",
            printable(times.name),
            text_of_time(ran_s),
            text_of_places(places).rstrip(),
            about={"coro_thread": times.name, "ran_s": ran_s},
        )

    def _over(self, times: history.Times, seconds: float) -> None:
        if seconds > self.limit_s:
            log.warning(
                "thread '%s' ran for %s and blocked the loop",
                printable(times.name),
                text_of_time(seconds),
                about={"coro_thread": times.name, "ran_s": seconds},
            )
