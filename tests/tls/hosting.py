"""Servers with TLS for a test: for one connection, or a Server, and what that has logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import TLS, Server, TLSListener, sleep, timeout

from .ends import Steps


def serve_one(listener: TLSListener) -> Steps:
    """Send b"data" to the next connection, end it, and return it."""
    with (yield from listener.accept()) as conn:
        yield from conn.sendall(b"data")
        yield from conn.finish()
        return conn


def echo(conn: TLS) -> Steps:
    while data := (yield from conn.recv()):
        yield from conn.sendall(data)


def with_server(server: Server, test: Callable[[Server, Any], Steps]) -> Steps:
    """Run a test with a server, and stop it."""
    yield from server.listen("127.0.0.1")
    try:
        with timeout(20):
            yield from test(server, server.addresses[0])
    finally:
        yield from server.stop(0)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def at_info(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a block in which the server's messages of all levels from INFO are kept."""
    return caplog.at_level(logging.INFO, logger="socket2.server")


def gone(server: Server) -> Steps:
    """Wait until the server has no connection any more."""
    while server.connections:
        yield from sleep(0.001)
