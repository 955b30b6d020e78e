"""Active health checks: each upstream is asked for a path, on a connection of its own, again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from ...threads.journal import Journal
from ...threads.loop import newthread
from ...threads.scope import timeout
from ...threads.thread import Thread
from ...threads.timers import duration
from ..messages.errors import ProtocolError
from ..messages.heads import ResponseHead
from ..messages.incoming import BLOCK
from .upstream import Upstream

log = Journal("socket2.http.proxy")

# One answer that is late or lost says little.
_FAILURES = 2


class Health:
    """Asks upstreams for `path`. A check may take as long as the time between two of them."""

    def __init__(self, path: str, interval_s: float) -> None:
        """Raises ValueError if the path is none, or the time is not more than 0."""
        if not path.startswith("/"):
            raise ValueError(f"the path of health checks begins with /, unlike {path!r}")
        self.interval_s = duration(interval_s)
        if not self.interval_s > 0:
            raise ValueError(f"the time between health checks must be more than 0 seconds, not {interval_s!r}")
        self._path = path
        self._failures: Counter[Upstream] = Counter()
        self._threads: dict[Upstream, Thread[None]] = {}

    def start(self, upstream: Upstream) -> None:
        """Check an upstream, unless a check of it is under way."""
        thread = self._threads.get(upstream)
        if thread is None or thread.done:
            self._threads[upstream] = newthread(self._check, upstream, name=f"health of {upstream.name}")

    def cancel(self) -> None:
        for thread in self._threads.values():
            if not thread.done:
                thread.cancel()
        self._threads.clear()

    def _check(self, upstream: Upstream) -> Generator[Any, None, None]:
        try:
            with timeout(self.interval_s):
                status = yield from self._ask(upstream)
            reason = "" if status < 400 else f"status {status}"
        except (OSError, ValueError, ProtocolError) as error:
            reason = str(error) or type(error).__name__
        self._failures[upstream] = self._failures[upstream] + 1 if reason else 0
        about = {"upstream": upstream.name}
        if reason and upstream.is_well and self._failures[upstream] >= _FAILURES:
            upstream.is_well = False
            log.warning("%s fails its health check: %s", upstream.name, reason, about=about)
        elif not reason and not upstream.is_well:
            upstream.is_well = True
            log.warning("%s is well again", upstream.name, about=about)

    def _ask(self, upstream: Upstream) -> Generator[Any, None, int]:
        link = yield from upstream.dial(None)
        try:
            side = link.side
            fields = [(b"host", upstream.host), (b"user-agent", b"socket2 health check"), (b"connection", b"close")]
            yield from link.sock.sendall(side.head("GET", self._path, fields) + side.end())
            while True:
                event = side.next()
                if isinstance(event, ResponseHead) and event.status >= 200:
                    return event.status
                if event is None:
                    side.receive((yield from link.sock.recv(BLOCK)))
        finally:
            link.close()
