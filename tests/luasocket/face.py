"""How the tests of luasocket make calls, and the objects that they use."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from socket2 import luasocket
from socket2.luasocket.lookup import literal


class Do:
    """Makes a call: in a thread it awaits the operation, in a script it has the result at once."""

    def __init__(self, *, in_thread: bool) -> None:
        self.in_thread = in_thread

    async def __call__(self, call: Callable[..., Any], *args: Any) -> Any:
        made = call(*args)
        if not self.in_thread:
            assert not inspect.isawaitable(made)
            return made
        assert inspect.isawaitable(made)
        return await made


class Pair(NamedTuple):
    client: luasocket.TCP
    peer: socket.socket


def server(address: str = "127.0.0.1") -> tuple[luasocket.TCP, int]:
    """Return a server and its port. This works in scripts and threads, since it looks up nothing."""
    made = luasocket.tcp6() if ":" in address else luasocket.tcp4()
    made._bind_to(literal(address, 0, "tcp", None))
    assert made.listen() == (1, None)
    port = made.getsockname()[1]
    assert isinstance(port, int)
    return made, port


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
