"""An operation can be awaited once: a second await is refused at once, and the first one continues."""

from __future__ import annotations

from typing import Any

import pytest

from .driver import Driver, does


def awaits(op: Any) -> Any:
    return (yield from op)


def test_a_second_that_awaits_it_is_refused_and_the_first_goes_on(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        op = handle.recv(10)
        first = driver.spawn(awaits(op))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="being awaited already"):
                driver.run(awaits(op))
        peer.sendall(b"hello")
        assert driver.finish(first) == [b"hello"]


def test_one_that_has_ended_is_not_awaited_again(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        peer.sendall(b"hello")
        for op in (handle.sendall(b"x"), handle.wait_writable(), handle.wait_readable(), handle.recv(10)):
            driver.run(awaits(op))
            with pytest.raises(RuntimeError, match="has been awaited already"):
                driver.run(awaits(op))
        peer.sendall(b"more")
        assert driver.run(does(handle.recv(10))) == b"more"
