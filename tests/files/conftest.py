"""Programs over each poller of this machine, bare and checked."""

from __future__ import annotations

import sys

import pytest

from socket2.threads.scheduler import Scheduler, local

from ..contract.kinds import for_programs, make

collect_ignore_glob = ["test_*"] if sys.platform == "win32" else []


@pytest.fixture(params=for_programs(), ids="-".join)
def poller(request: pytest.FixtureRequest) -> None:
    kind, manner = request.param
    local.scheduler = Scheduler(make(kind, checked=manner == "checked"))


def without_nowait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without RWF_NOWAIT."""
    monkeypatch.setattr("pollers.nowait._NOWAIT", 0)


def without_a_second_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system that cannot open a pipe by its descriptor."""
    without_nowait(monkeypatch)
    monkeypatch.setattr("pollers.nowait.opened_again", lambda *_: None)


WAYS = {"as it is": lambda _: None, "opened again": without_nowait, "with care": without_a_second_opening}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    WAYS[request.param](monkeypatch)
    return str(request.param)
