"""Certificates for the tests of TLS with events."""

from __future__ import annotations

import pytest

from ...tls.certificates import Authority
from ...tls.conftest import no_key_log_of_the_user

__all__ = ["no_key_log_of_the_user"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("net_tls"))
