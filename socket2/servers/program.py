"""serve(): a whole server in one call, from its addresses to the signal that stops it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pollers import Cancelled, Operation, operation

from ..sockets.address import Host, Port, Query
from ..sockets.paths import MODE, Owner, PathRules, Unlink
from ..sockets.tcp import TCP, check_backlog
from ..threads.catching import catching, checked, name_of
from ..threads.coroutines import is_coroutine
from ..threads.group import threadset
from ..threads.journal import Journal
from ..threads.loop import newthread
from ..threads.scope import scope
from ..threads.thread import Thread
from ..threads.timers import duration
from ..tls.arguments import HANDSHAKE_S
from ..tls.layer import TLS
from .draining import stop_drained
from .listeners import adopt_listener, check_listener, queries_of
from .renewal import Reloader, signals_to_reload
from .server import FIRST_REQUEST_S, GRACE_S, Server

if TYPE_CHECKING:
    import ssl

log = Journal("socket2.server")

_Where: TypeAlias = tuple[list[Query], int | None, bool, bool, PathRules]


def serve(
    handler: Callable[[TCP], Any] | Callable[[TLS], Any],
    host: Host = None,
    port: Port = None,
    *,
    listeners: Sequence[TCP | socket.socket] = (),
    backlog: int | None = None,
    reuse_port: bool = False,
    nodelay: bool = True,
    mode: int | None = MODE,
    owner: Owner = None,
    unlink: Unlink = "own",
    max_connections: int | None = None,
    first_request_s: float = FIRST_REQUEST_S,
    tls: ssl.SSLContext | None = None,
    handshake_s: float | None = HANDSHAKE_S,
    max_handshakes: int | None = None,
    proxy_protocol: Sequence[Any] | None = None,
    reload: Callable[[], Any] | None = None,
    reload_signals: Iterable[int] | None = None,
    grace_s: float = GRACE_S,
    drain_s: float = 0.0,
    signals: Iterable[int] = (signal.SIGTERM, signal.SIGINT),
    ready: Callable[[Server], Any] | None = None,
) -> Operation[int]:
    """Serve until one of `signals` arrives, then stop gracefully; return how many connections were cut off.

    `handler`, `max_connections`, `first_request_s`, `tls`, `handshake_s`, `max_handshakes`, `proxy_protocol`: as in
    Server. `host`, `port`, `backlog`, `reuse_port`, `nodelay`, `mode`, `owner`, `unlink`: as in Server.listen().
    `listeners`: sockets to accept on instead, for example from inherited_listeners(); other processes may share them.
    `grace_s`: how many seconds handlers have to finish. A second signal cuts off all connections at once. `drain_s`:
    for how many seconds the server goes on as before after the first signal, so that balancers can notice that it will
    go: `server.leaving` is set then.

    `ready(server)` is called when the server listens. If it is a generator function or `async def`, it runs as a thread
    beside the server, and is cancelled when the server has ended. If `ready` raises, serve() ends with that error.

    If the handler has an attribute `lifespan`, as http.asgi() makes it, its startup() comes before the server listens,
    and its shutdown(grace_s) when all connections have ended.

    `reload`: called when SIGHUP arrives, to load the configuration again. It may be a plain function, a generator
    function or an `async def` function, and runs in a thread of its own. If it fails, the error is logged, and the
    server continues. Before that, the certificate of `tls`, a server_context(), is loaded again for new connections. If
    this fails, the error is logged, and the old certificate stays in use. Without `reload`, SIGHUP loads the
    certificate again if the program has not set another action for it and `signals` is not empty.

    `reload_signals`: the signals that do this instead of SIGHUP, such as SIGBREAK on Windows, which has no SIGHUP. ():
    none. Raises ValueError if one of them is among `signals`.

    A signal stops every serve() that catches it. An ignored signal stays ignored. Earlier handlers are restored at the
    end. To catch signals, the main OS thread must run a loop, this one or another. If it does not, RuntimeError is
    raised before anything is served. A cancellation cuts off all connections. Raises ValueError if there is neither a
    host nor a port nor a listener; otherwise as Server.listen() and Server.add() do.
    """
    server = Server(
        handler,
        max_connections=max_connections,
        first_request_s=first_request_s,
        tls=tls,
        handshake_s=handshake_s,
        max_handshakes=max_handshakes,
        proxy_protocol=proxy_protocol,
    )
    stops = checked(signals)
    reloads = signals_to_reload(reload_signals, tls, reload, stops)
    if not listeners and host is None and port is None:
        raise ValueError("serve() needs a host, a port (0 for a free one) or listeners")
    for listener in listeners:
        check_listener(listener)
    check_backlog(backlog)
    if ready is not None and not callable(ready):
        raise TypeError(f"ready must be a function, not {ready!r}")
    rules = PathRules(mode, owner, unlink)
    where = (queries_of(host, port) if not listeners else [], backlog, reuse_port, nodelay, rules)
    reloader = Reloader(tls, reload, server.about)
    lifespan = getattr(handler, "lifespan", None)
    times = (duration(drain_s), duration(grace_s))
    return _serve(server, where, listeners, times, stops, ready, reloader, reloads, lifespan)


@operation
def _serve(
    server: Server,
    where: _Where,
    listeners: Sequence[TCP | socket.socket],
    times: tuple[float, float],
    signals: Iterable[int],
    ready: Callable[[Server], Any] | None,
    reloader: Reloader,
    reloads: Iterable[int],
    lifespan: Lifespan | None,
) -> Generator[Any, None, int]:
    _, grace_s = times
    stops: list[Thread[object]] = []

    def stop(signum: int) -> None:
        log.info("%s: stopping %r", name_of(signum), server, about=server.about())
        stops.append(newthread(server.stop, 0) if stops else newthread(stop_drained, server, *times))

    catcher, reload_catcher = catching(signals, stop), catching(reloads, reloader.ask)
    try:
        yield from catcher.begin()
        yield from reload_catcher.begin()
        if lifespan is not None:
            yield from _start(server, lifespan)
        yield from _listen(server, where, listeners)
        if not server.stopping.is_set():
            yield from _until_gone(server, ready)
        cut = yield from server.wait()
        if lifespan is not None:
            yield from lifespan.shutdown(grace_s)
    except (Exception, Cancelled) as error:
        yield from server.stop(0)
        yield from reloader.end()
        if lifespan is not None:
            yield from lifespan.shutdown(grace_s if isinstance(error, Exception) else 0)
        raise
    finally:
        reload_catcher.end()
        catcher.end()
    yield from reloader.end()
    for thread in stops:
        yield from thread.join()
    return cut


class Lifespan(Protocol):
    """What a handler needs in the process of its server. It is the attribute `lifespan` of the handler."""

    def startup(self) -> Operation[None]:
        """Prepare, before the server listens. If it raises, nothing is served."""

    def shutdown(self, grace_s: float, /) -> Operation[None]:
        """Clean up when all connections have ended, within that time. Does nothing if startup() has not ended."""


@operation
def _start(server: Server, lifespan: Lifespan) -> Generator[Any, None, None]:
    """Prepare, at most until the server is stopped."""

    def stop() -> Generator[Any, None, None]:
        yield from server.stopping.wait()
        starting.cancel()

    with scope() as starting, threadset() as ts:
        ts.newthread(stop)
        yield from lifespan.startup()
        ts.cancel()
        yield from ts.join()


@operation
def _listen(server: Server, where: _Where, listeners: Sequence[TCP | socket.socket]) -> Generator[Any, None, None]:
    """Make the server listen. If it has been stopped meanwhile, nothing stays open."""
    rest = [adopt_listener(listener) for listener in listeners]
    try:
        if not rest:
            yield from server._listen(*where)
        for _ in range(len(rest)):  # see threads/lock.py
            server.add(rest.pop(0), shared=True)
    except RuntimeError:
        if not server.stopping.is_set():
            raise
    finally:
        for listener in rest:
            listener.close()


@operation
def _until_gone(server: Server, ready: Callable[[Server], Any] | None) -> Generator[Any, None, None]:
    """Call `ready`, and wait until the server has ended."""
    made: Any = ready(server) if ready is not None else None
    if not is_coroutine(made):
        return
    with threadset() as ts:
        ts.newthread(made, name="ready")
        yield from server.wait()
        ts.cancel()
        yield from ts.join()
