"""Every `async def` test here runs twice: its calls are made inside a thread, and directly in a plain script.

A test makes a call as `await do(sock.receive, "*l")`, which is `await sock.receive("*l")` in a thread.
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from socket2 import luasocket

from ..interop.peers import LIMIT_S, run
from ..tls.certificates import Authority
from .face import Do, Pair


@pytest.fixture(params=["thread", "script"])
def do(request: pytest.FixtureRequest) -> Do:
    return Do(in_thread=request.param == "thread")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    _run(pyfuncitem.obj, arguments)
    return True


def _run(test: Callable[..., Coroutine[Any, Any, None]], arguments: dict[str, Any]) -> None:
    if arguments["do"].in_thread:
        run(test, **arguments)
        return
    steps = test(**arguments)
    try:
        waits_for = steps.send(None)
    except StopIteration:
        return
    steps.close()
    pytest.fail(f"a script waits for nothing, but this one does for {waits_for!r}")


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a luasocket client, connected to a blocking socket of the standard library, and that socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client, _ = luasocket.connect("127.0.0.1", listener.getsockname()[1])
        peer, _ = listener.accept()
    peer.settimeout(LIMIT_S)
    with peer, client:
        yield Pair(client, peer)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))
