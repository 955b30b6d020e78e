"""Certificates for servers with https."""

from __future__ import annotations

import pytest

from tests.tls.certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("gateway"))
