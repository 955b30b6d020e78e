"""Errors of the background, as the test of a program learns of them.

Knows the two places where errors end that no thread waits for: the crash hook, and the log of the servers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..threads import thread as threads
from ..threads.thread import Thread

_LOGGER = "socket2"
_CRASHES = "socket2.thread"  # what the crash hook logs


class reported:
    """A block in which `failed(error)` is called with each such error, in the OS thread where it happens.

    The errors of threads are then not logged. Those of handlers still are.
    """

    def __init__(self, failed: Callable[[BaseException], object]) -> None:
        self._failed = failed
        self._handler = _Handler(failed)

    def __enter__(self) -> None:
        self._former = threads.crashhook
        threads.crashhook = self._crashed
        self._hook = threads.crashhook
        logging.getLogger(_LOGGER).addHandler(self._handler)

    def __exit__(self, *_: object) -> None:
        if threads.crashhook is self._hook:  # the test may have set one of its own
            threads.crashhook = self._former
        logging.getLogger(_LOGGER).removeHandler(self._handler)

    def _crashed(self, thread: Thread[object], error: BaseException, /) -> None:
        error.add_note(f"in thread {thread.name!r}, which no other thread was joining")
        self._failed(error)


class _Handler(logging.Handler):
    def __init__(self, failed: Callable[[BaseException], object]) -> None:
        super().__init__(logging.ERROR)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.name != _CRASHES:
            error.add_note(f"logged by {record.name}: {record.getMessage()}")
            self._failed(error)
