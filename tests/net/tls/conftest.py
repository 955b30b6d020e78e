"""Certificates for the tests of TLS with events."""

from __future__ import annotations

import pytest

from ...tls.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("net_tls"))


@pytest.fixture(autouse=True)
def no_key_log_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
