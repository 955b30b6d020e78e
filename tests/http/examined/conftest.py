"""Programs that are built here, and certificates."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ...interop.peers import needs

SOURCE = Path(__file__).with_name("go") / "peer.go"
BUILDS_S = 600.0


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the program in Go, with what it needs of its library."""
    folder = tmp_path_factory.mktemp("go")
    env = os.environ | {"GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "CGO_ENABLED": "0", "HOME": str(folder)}
    command = [needs("go", "golang-go"), "build", "-o", str(folder / "peer"), str(SOURCE)]
    done = subprocess.run(command, env=env, capture_output=True, timeout=BUILDS_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return str(folder / "peer")
