"""For servers that take no listener and do not say when they listen."""

from __future__ import annotations

import socket
import time

from bench.servers import HOST

PATIENCE_S = 20.0


def free_port() -> int:
    """Return a port of HOST that nobody has now."""
    with socket.create_server((HOST, 0)) as sock:
        return int(sock.getsockname()[1])


def say_when_ready(port: int) -> None:
    """Print the port as soon as it accepts connections."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            socket.create_connection((HOST, port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            print("ready", port, flush=True)
            return
