"""A server with TLS for a test, and what it has logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import (
    TLS,
    Server,
    sleep,
    timeout,
)

from .ends import Steps


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


def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    return caplog.at_level(logging.INFO, logger="socket2.server")


def gone(server: Server) -> Steps:
    while server.connections:
        yield from sleep(0.001)
