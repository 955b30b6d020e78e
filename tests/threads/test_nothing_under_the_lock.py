"""Foreign code (a log handler, crashhook, a job, a posted call) is called only while the lock is not held."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import Server, Thread, newthread, runafter, serve_threads, sleep, threadset
from socket2.threads.lock import is_held
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import connect

Steps = Generator[Any, Any, Any]


class Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.held: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.held.append(is_held())


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_called_under_the_lock(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    crashes: list[bool] = []
    calls: list[bool] = []

    def crashed(thread: Thread[object], error: BaseException) -> None:
        crashes.append(is_held())

    def fails() -> None:
        raise ValueError("on purpose")

    def handler(conn: socket2.TCP) -> Steps:
        yield from conn.recv(10)
        raise ConnectionResetError("on purpose")

    def main() -> Steps:
        yield from sleep(0)
        newthread(fails)
        with threadset() as ts:
            ts.newthread(fails)
            with pytest.raises(ValueError, match="on purpose"):
                yield from ts.join()
        runafter(0, lambda: calls.append(is_held()))
        current_scheduler().post(lambda: calls.append(is_held()))
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with connect("127.0.0.1", int(server.addresses[0][1])) as peer:
            peer.sendall(b"hello")
            while not log.held or len(calls) < 2 or not crashes:
                yield from sleep(0.001)
        yield from server.stop()

    monkeypatch.setattr("socket2.thread.crashhook", crashed)
    logger = logging.getLogger("socket2")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addHandler(log)
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    try:
        newthread(main)
        assert serve_threads(count) is True
    finally:
        logger.removeHandler(log)
        monkeypatch.undo()
        logger.manager._clear_cache()  # type: ignore[attr-defined]
    for held in (log.held, crashes, calls):
        assert held
        assert not any(held)
