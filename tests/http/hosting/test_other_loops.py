"""Applications that need asyncio get one clear error, and never hang."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..test_server import GET
from .test_asgi import Scope, answers, hello
from .test_wsgi import HELLO


async def sleep(scope: Scope) -> None:
    await asyncio.sleep(1)


async def sleep_for_no_time(scope: Scope) -> None:
    await asyncio.sleep(0)


async def wait_for_a_future(scope: Scope) -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def wait_for_a_lock(scope: Scope) -> None:
    lock = asyncio.Lock()
    async with lock:  # a free one needs no loop
        await lock.acquire()


async def wait_with_a_timeout(scope: Scope) -> None:
    async with asyncio.timeout(1):
        pass


async def start_a_task(scope: Scope) -> None:
    work = sleep(scope)
    try:
        asyncio.create_task(work)  # noqa: RUF006
    finally:
        work.close()


async def sleep_with_anyio(scope: Scope) -> None:
    anyio = pytest.importorskip("anyio")
    await anyio.sleep(1)


async def call_a_function_in_anyios_threads(scope: Scope) -> None:
    anyio = pytest.importorskip("anyio.to_thread")
    await anyio.run_sync(print)


NEEDY = [
    sleep,
    sleep_for_no_time,
    wait_for_a_future,
    wait_for_a_lock,
    start_a_task,
    wait_with_a_timeout,
    sleep_with_anyio,
    call_a_function_in_anyios_threads,
]


@pytest.mark.parametrize("need", NEEDY)
def test_an_error_says_so(need: Any, caplog: pytest.LogCaptureFixture) -> None:
    if "anyio" in need.__name__:
        pytest.importorskip("anyio", reason="anyio is not installed (pip install anyio)")

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if scope["path"] == "/needy":
            await need(scope)
        await hello(scope, receive, send)

    found = answers(app, GET.replace(b"/ ", b"/needy "), GET)
    assert found.startswith(b"HTTP/1.1 500 ")
    assert found.endswith(HELLO)
    assert "RuntimeError: the application needs the event loop of asyncio" in caplog.text
