"""Programs over each poller of this machine, bare and checked."""

from __future__ import annotations

import pytest

from socket2.threads.scheduler import Scheduler, local

from ..contract.kinds import for_programs, make


@pytest.fixture(params=for_programs(), ids="-".join)
def poller(request: pytest.FixtureRequest) -> None:
    kind, manner = request.param
    local.scheduler = Scheduler(make(kind, checked=manner == "checked"))
