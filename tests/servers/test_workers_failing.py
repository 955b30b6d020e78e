"""Workers that cannot start: nobody waits for a server that never will be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from ..interop.peers import LIMIT_S, ROOT

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)

PROGRAM = """
import logging, os, socket2
from socket2 import http

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if FAILS(os.fork):
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

made = []
os.register_at_fork(before=lambda: made.append(1))
try:
    http.serve(http.asgi(app), "127.0.0.1:0", workers=2, ready=lambda workers: print("ready"))
except RuntimeError as error:
    print(error, flush=True)
    raise SystemExit(3)
"""


@pytest.mark.parametrize("which", ["True", "len(made) == 1", "len(made) == 2"])
def test_a_startup_that_fails_ends_the_server(which: str) -> None:
    """Also if only one of them fails. The others are stopped."""
    program = PROGRAM.replace("FAILS(os.fork)", which)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 3, done.stderr.decode()
    assert b"could not start: it has ended with status 1, and logged why" in done.stdout
    assert b"ready" not in done.stdout
    assert b"LifespanError: the startup of the application failed: no database" in done.stderr
