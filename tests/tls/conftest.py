"""Certificates for the tests of TLS, and every kind of poller."""

from __future__ import annotations

import pytest

from socket2.threads.scheduler import Scheduler, local

from ..contract.kinds import make, names
from .certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def no_key_log_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)


@pytest.fixture(params=names(), ids="-".join)
def any_poller(request: pytest.FixtureRequest) -> None:
    """Let the test run over each kind of poller."""
    kind, manner = request.param
    poller = make(kind, checked=manner == "checked")
    if manner == "shared":
        poller.share()
    local.scheduler = Scheduler(poller)
