"""How trio ends as a guest: by its own end, by Ctrl-C, by SystemExit; and what is refused."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio

import socket2
from socket2.guests.trio import of, trio_run, wait

Steps = Generator[Any, None, Any]


def in_trio(async_fn: Callable[..., Any], *args: Any) -> Any:
    return socket2.run(trio_run, async_fn, *args)


def test_what_trio_has_not_ended_fails() -> None:
    errors: list[BaseException] = []

    def thread() -> Steps:
        try:
            yield from wait(trio.sleep_forever)
        except RuntimeError as error:
            errors.append(error)

    async def main() -> None:
        socket2.newthread(thread)
        await trio.sleep(0.01)

    def host() -> Steps:
        yield from trio_run(main)
        yield from socket2.sleep(0)
        with pytest.raises(RuntimeError, match="trio does not run"):
            yield from wait(trio.sleep_forever)

    socket2.run(host)
    assert "trio ended" in str(errors[0])


def test_ctrl_c_ends_trio_and_then_the_host() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()
        finally:
            ended.append("trio")

    with pytest.raises(KeyboardInterrupt):
        in_trio(main)
    assert ended == ["trio"]


def test_system_exit_leaves_the_loop() -> None:
    async def main() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        in_trio(main)


def test_a_second_trio_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="already runs"):
            await of(trio_run, trio.sleep_forever)

    in_trio(main)
    in_trio(trio.sleep, 0)  # one after the other is fine


def test_outside() -> None:
    with pytest.raises(RuntimeError, match="only inside a thread"):
        trio_run(trio.sleep_forever)
    with pytest.raises(RuntimeError, match="only inside a thread"):
        wait(trio.sleep_forever)
    with pytest.raises(TypeError):
        in_trio(5)  # type: ignore[arg-type]

    async def main() -> None:
        with pytest.raises(RuntimeError, match="does not run in this OS thread"):
            await of(socket2.sleep, 0)

    trio.run(main)


def test_a_failed_start_leaves_trio_usable() -> None:
    class Broken(trio.abc.Clock):
        def start_clock(self) -> None:
            raise ArithmeticError

        def current_time(self) -> float:
            raise NotImplementedError

        def deadline_to_sleep_time(self, deadline: float) -> float:
            raise NotImplementedError

    def host() -> Steps:
        with pytest.raises(trio.TrioInternalError):
            yield from trio_run(trio.sleep_forever, clock=Broken())
        yield from trio_run(trio.sleep, 0)

    socket2.run(host)
