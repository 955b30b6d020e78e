"""Tools for tests: a loop for one test, a clock that jumps, and what a test has left behind.

This room knows how the loop of an OS thread is replaced, and where the errors of the background end. It must not know
pytest: `pytest_socket2` makes fixtures and marks of what is here, and so can others for their test framework.

Read `ownloop` first: the loop of one test, on `remains` (what is left when it ends), `reports` (errors in the
background) and `overdue` (tests that hang). Then `held`, for fixtures; `jumping`, the clock; `ports`; and `script`, for
peers.
"""

from __future__ import annotations

from .held import Held
from .jumping import JumpingClock
from .overdue import overdue
from .ownloop import Hung, LeftBehind, Loop
from .ports import held_port
from .script import (
    Peer,
    Recorded,
    ScriptError,
    Step,
    close,
    expect,
    expect_end,
    expect_until,
    reset,
    send,
    shutdown,
    wait,
)

__all__ = [
    "Held",
    "Hung",
    "JumpingClock",
    "LeftBehind",
    "Loop",
    "Peer",
    "Recorded",
    "ScriptError",
    "Step",
    "close",
    "end_os_threads",
    "expect",
    "expect_end",
    "expect_until",
    "held_port",
    "reset",
    "send",
    "shutdown",
    "wait",
]


def end_os_threads() -> None:
    """End the OS thread that looks for tests that hang. Another one is started when it is needed again."""
    overdue.stop()
