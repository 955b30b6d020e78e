"""trio's own tests of its guest mode, with our loop as the host. Their bodies are not changed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio._core._tests.test_guest_mode as its_own

import socket2
from socket2.guests.trio import trio_run
from socket2.threads.scheduler import current_scheduler

LEFT_OUT = {
    "test_guest_mode_on_asyncio": "its host is asyncio, in another process",
    "test_guest_mode_internal_errors": "it breaks trio in the middle of a tick, and then leaves the host",
    "test_guest_warns_if_abandoned": "its host stops before trio has ended; trio_run() waits for that",
    "test_warn_set_wakeup_fd_overwrite": "it wants no wake-up descriptor, or its own; our loop sets one",
    "test_host_wakeup_doesnt_trigger_wait_all_tasks_blocked": "it calls the host's queue from another OS thread",
    "test_guest_mode_ki": "it wants trio's handler of Ctrl-C; our loop has one",
    "test_notify_closing_after_events": "it has no host",
}


def guest_run(
    trio_fn: Callable[..., Any],
    *,
    in_host_after_start: Callable[[], None] | None = None,
    host_uses_signal_set_wakeup_fd: bool = False,
    **options: Any,
) -> Any:
    """Take the place of trio's trivial_guest_run()."""

    def host() -> Generator[Any, None, Any]:
        guest = socket2.newthread(trio_run, trio_fn, current_scheduler().post, **options)
        if in_host_after_start is not None and not guest.done:
            in_host_after_start()
        return (yield from guest.join())

    return socket2.run(host)


ALL = {name: test for name, test in vars(its_own).items() if name.startswith("test_")}


@pytest.mark.parametrize("name", [name for name in ALL if name not in LEFT_OUT])
def test_guest_mode(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(its_own, "trivial_guest_run", guest_run)
    ALL[name]()


def test_those_that_are_left_out_exist() -> None:
    assert not set(LEFT_OUT) - set(ALL)
    assert len(ALL) - len(LEFT_OUT) >= 10
