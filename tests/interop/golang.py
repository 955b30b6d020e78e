"""Peers in Go: their programs are built here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .peers import needs

BUILDS_S = 600.0


def built(source: Path, folder: Path) -> str:
    """Build a program, with what it needs of Go's library, in an empty folder. Return its path."""
    env = os.environ | {"GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "CGO_ENABLED": "0", "HOME": str(folder)}
    command = [needs("go", "golang-go"), "build", "-o", str(folder / "peer"), str(source)]
    done = subprocess.run(command, env=env, capture_output=True, timeout=BUILDS_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return str(folder / "peer")
