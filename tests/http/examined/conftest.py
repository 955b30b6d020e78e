"""A program in Go that is built here."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...interop.golang import built

SOURCE = Path(__file__).with_name("go") / "peer.go"


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(SOURCE, tmp_path_factory.mktemp("go"))
