"""Helpers for evented sockets: main threads with a time limit, connected pairs, and logs of events in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import socket2
from socket2 import net
from socket2.net import Server, Socket
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S

Log = list[Any]

SOCKET_EVENTS = ("lookup", "connect", "ready", "data", "end", "finish", "drain", "timeout", "error", "close")
SERVER_EVENTS = ("listening", "connection", "drop", "error", "close")


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a main thread, and everything that it has started, to the end."""

    async def limited() -> None:
        with socket2.timeout(LIMIT_S):
            await main()

    socket2.run(limited)
    assert socket2.start(LIMIT_S), f"still going on: {current_scheduler().threads}"


def record(emitter: net.Emitter, events: Iterable[str], log: Log | None = None, name: str = "") -> Log:
    """Log the events as 'event', or ('event', argument...), after `name`."""
    log = [] if log is None else log
    for event in events:
        emitter.on(event, noting(log, f"{name}{event}"))
    return log


def noting(log: Log, what: str) -> Callable[..., None]:
    def note(*args: Any) -> None:
        log.append((what, *args) if args else what)

    return note


async def started(server: Server, *args: Any, **options: Any) -> int:
    """Listen, by default on a free port of 127.0.0.1. Return the port."""
    if not args and not options:
        args = (0, "127.0.0.1")
    server.listen(*args, **options)
    await server.wait("listening")
    return port_of(server)


def port_of(server: Server) -> int:
    """Return the port that it listens on; 0 if it is not TCP."""
    address = server.address()
    return int(address["port"]) if isinstance(address, dict) else 0


async def pair(server_options: Any = None, **client_options: Any) -> tuple[Socket, Socket]:
    """Return a client and the server's socket for it. The server is closed."""
    with net.createServer(server_options) as server:
        port = await started(server)
        client = net.connect(port, "127.0.0.1", **client_options)
        return client, await server.accept()


async def ended(*sockets: Socket) -> None:
    """Wait until the sockets are closed."""
    for socket in sockets:
        if not socket.destroyed:
            await socket.wait("close")


async def turns(n: int = 3) -> None:
    """Let the loop run a few turns, so that postponed calls happen."""
    for _ in range(n):
        await socket2.sleep(0)
    await socket2.sleep(0.001)


async def all_of(socket: Socket) -> bytes:
    """Receive until the end of the stream."""
    return b"".join([data async for data in socket])


async def failed(operation: Awaitable[Any]) -> Any:
    """Await something that must fail. Return the error."""
    try:
        result = await operation
    except Exception as error:
        return error
    raise AssertionError(f"it has not failed, but returned {result!r}")


async def until(log: Log, what: str) -> None:
    """Wait until an event is in the log."""
    while not any(what == (entry if isinstance(entry, str) else entry[0]) for entry in log):
        await turns()


def ignore(*_: Any) -> None:
    """A listener that does nothing, for expected errors."""


def greet(conn: Socket) -> None:
    """A 'connection' listener."""
    conn.on("error", ignore)
    conn.resume()
    conn.end("hello")
