"""The contexts of exceptions: two threads in one OS thread, and each has only its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from socket2 import Cancelled, Closed, newthread, run, sleep, socketpair, threadset

Steps = Generator[Any, Any, Any]


def test_the_context_of_an_exception_is_of_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter adds what the running OS thread is handling, be it of another thread."""
    monkeypatch.setattr("socket2.thread.crashhook", lambda thread, error: None)

    def fails() -> Steps:
        raise ValueError("my own")
        yield

    def fails_twice() -> Steps:
        try:
            raise KeyError("my own")
        except KeyError as error:
            raise ValueError("my own") from error
        yield

    def cleans_up() -> Steps:
        try:
            yield from sleep(60)
        finally:
            raise ValueError("my own")

    def main() -> Steps:
        one, other = socketpair()
        receiver = newthread(one.recv, 1)
        with suppress(ExceptionGroup), threadset() as ts:
            member = ts.newthread(cleans_up)
            try:
                raise IndexError("of another thread")
            except IndexError:
                threads = [newthread(fails), newthread(fails_twice)]
                one.close()
                other.close()
                raise
        with suppress(Closed):
            yield from receiver.join()
        assert [repr(thread.error.__context__) for thread in threads] == ["None", "KeyError('my own')"]  # type: ignore[union-attr]
        assert repr(threads[1].error.__context__.__context__) == "None"  # type: ignore[union-attr]
        assert isinstance(receiver.error, Closed)
        assert receiver.error.__context__ is None
        assert isinstance(member.error, ValueError)
        assert isinstance(member.error.__context__, Cancelled)
        assert member.error.__context__.__context__ is None

    run(main)
