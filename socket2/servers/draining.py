"""A stop in two steps: first the balancers learn that this server will go, and only then it does.

Until they have learned it, they send requests, which are served as before.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from .server import Server


def stop_drained(server: Server, drain_s: float, grace_s: float) -> Generator[Any, None, None]:
    """Set `server.leaving`, wait `drain_s` seconds, and stop the server. Another stop() ends the wait."""
    server.leaving.set()
    if drain_s and grace_s:
        with suppress(TimeoutError):
            yield from server.stopping.wait(drain_s)
    yield from server.stop(grace_s)
