"""trio in a program of socket2: trio_run() runs it as a guest of our loop, in the same OS thread.

`of` is for tasks of trio: it waits for an operation or function of ours. `wait` is for our threads: it waits for an
async function that needs trio. Cancellations cross in both directions. This room knows trio by its public functions
only. Read `guest` first, which starts and ends trio. `tasks` crosses between its tasks and our threads, and `present`
knows whether trio runs.
"""

from __future__ import annotations

from .guest import trio_run
from .tasks import of, wait

__all__ = ["of", "trio_run", "wait"]
