"""Pumps and streams that never wait: other threads still run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

import socket2
from socket2 import Thread, newthread, run, timeout
from socket2.luasocket import ltn12

from .test_streaks_of_io import MANY, ROW, buffered, counted

Steps = Generator[Any, Any, Any]


def own_step(source: Any, sink: Any) -> Any:
    chunk, err = source()
    return sink(chunk, err)


@pytest.mark.parametrize("steps", [(), (own_step,)], ids=["step", "own_step"])
def test_a_pump_of_plain_functions_lets_others_run(steps: tuple[Any, ...]) -> None:
    chunks = 0

    def source() -> tuple[bytes | None, None]:
        nonlocal chunks
        chunks += 1
        return (b"x" if chunks < MANY else None), None

    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(0):
            yield from ltn12.pump.all(source, lambda chunk, err: (1, None), *steps)
        assert 0 < chunks <= 2 * ROW

    run(main)


def test_a_stream_that_lets_others_run_is_busy_to_them_and_tells_of_its_close() -> None:
    def main() -> Steps:
        with ExitStack() as stack:
            ours = yield from buffered(stack, b"x" * MANY)
            rounds = [0]
            thread: Thread[object] = newthread(counted, lambda: ours.recvn(1), rounds)
            with pytest.raises(socket2.Busy, match="counted"):
                yield from ours.recvn(1)
            ours.close()
            with pytest.raises(socket2.Closed):
                yield from thread.join()
            assert ours.buffered == 0

    run(main)
