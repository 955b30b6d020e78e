"""Worker processes: each runs a server on the same port. A supervisor replaces them without losing a request."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pollers import Poller

from ..sockets.address import Host, Port
from ..sockets.paths import MODE, Owner, PathRules, Unlink
from ..sockets.tcp import TCP
from ..sockets.udp import unix
from ..threads.catching import catching
from ..threads.coroutines import P, is_coroutine
from ..threads.group import threadset
from ..threads.loop import newthread, run
from ..threads.mutexes import Lock
from ..threads.resolver import Resolver, check_resolver
from ..threads.scheduler import current_scheduler, local
from ..threads.sleeping import sleep
from ..threads.timers import duration
from ..tls.arguments import HANDSHAKE_S
from ..tls.layer import TLS
from . import staff
from .draining import stop_drained
from .inheritance import Places
from .listeners import adopt_listener, check_listener, listen_before_forks, queries_of
from .program import serve
from .renewal import reload_plainly, signals_to_reload
from .server import FIRST_REQUEST_S, GRACE_S, Server
from .staff import CUT, HERE, LEAVE, LEAVING, READY, STOP
from .supervisor import Workers

if TYPE_CHECKING:
    import ssl

# How long a supervisor has to answer a worker that wants to leave.
_ANSWER_S = 1.0


def serve_workers(
    handler: Callable[[TCP], Any] | Callable[[TLS], Any],
    host: Host = None,
    port: Port = None,
    *,
    workers: int | None = None,
    listeners: Sequence[TCP | socket.socket] = (),
    backlog: int | None = None,
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
    ready: Callable[[Workers], Any] | None = None,
    resolver: Resolver | None = None,
) -> int:
    """Serve in several processes until SIGTERM or SIGINT; return how many connections were cut off.

    `workers`: how many processes; by default one for each CPU of this process. `max_connections` and `max_handshakes`
    apply to each. All other arguments: as in serve() with `reuse_port`: the kernel distributes connections among the
    workers. `ready(workers)` is called in the supervisor when all workers listen: `workers.addresses` are the
    addresses, `workers.pids` the process IDs. It must be a plain function, since no loop runs here: else TypeError.
    `resolver`: as in run(). It looks up `host` before the workers start, and then the names in each worker.

    `reload`, `reload_signals`: when the supervisor gets SIGHUP, it loads the certificate of `tls` again and calls
    `reload`, as serve() does. Then it replaces all workers, so that each of them begins with what was loaded. If this
    fails, the error is logged, and the workers stay. `reload` must be a plain function.

    A worker that dies is replaced at once; if it dies again soon, after a pause. Only its own connections are lost: the
    supervisor keeps its listeners, and the next worker serves the clients that wait there. A worker that gets a SIGTERM
    stops gracefully while another takes its place. So all workers can be replaced without losing a connection. If the
    supervisor dies, its workers stop gracefully.

    Call this instead of run(). It blocks, and it forks (fork(2)): so only in the main OS thread, before others start.
    Raises RuntimeError elsewhere, and if a worker fails before all of them listen; the log says why. Raises OSError if
    an address is not available, or if the system lacks fork or SO_REUSEPORT.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("serve_workers() forks and catches signals: call it in the main OS thread")
    if local.member is not None and (local.member.running or local.member.current is not None):
        raise RuntimeError("serve_workers() forks: call it instead of run(), not inside it")
    if not hasattr(os, "fork") or not (listeners or hasattr(socket, "SO_REUSEPORT")):
        raise OSError("worker processes need fork(2) and SO_REUSEPORT, which this system lacks")
    count = workers if workers is not None else _cpus()
    if count < 1:
        raise ValueError(f"workers must be at least 1, not {count!r}")
    for name, func in (("ready", ready), ("reload", reload)):
        if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
            raise _must_be_plain(name, func)
    reloads = signals_to_reload(reload_signals, tls, reload, (signal.SIGTERM, signal.SIGINT))
    options: dict[str, Any] = {
        "max_connections": max_connections,
        "first_request_s": first_request_s,
        "tls": tls,
        "handshake_s": handshake_s,
        "max_handshakes": max_handshakes,
        "proxy_protocol": proxy_protocol,
    }
    Server(handler, **options)  # reports wrong arguments here
    options["grace_s"] = duration(grace_s)
    options["drain_s"] = duration(drain_s)
    for listener in listeners:
        check_listener(listener)
    if resolver is not None:
        check_resolver(resolver)
    places = _places(host, port, listeners, backlog, count, resolver, PathRules(mode, owner, unlink))
    try:
        addresses = [sock.getsockname() for sock in places.of(0)]
        work = partial(_work, handler, places.handed_on, options, resolver, _idle_poller())
        load = partial(reload_plainly, tls, _plain("reload", reload) if reload else None)
        supervisor = Workers(work, count, addresses, duration(drain_s) + duration(grace_s), places, load, reloads)
        return supervisor.run(_plain("ready", ready) if ready else None)
    finally:
        places.close_all()


def _plain(name: str, func: Callable[P, Any]) -> Callable[P, None]:
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_coroutine(made := func(*args, **kwargs)):
            made.close()
            raise _must_be_plain(name, func)

    return call


def _must_be_plain(name: str, func: object) -> TypeError:
    return TypeError(f"the supervisor runs no loop, so `{name}` must be a plain function, not {func!r}")


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _places(
    host: Host,
    port: Port,
    inherited: Sequence[TCP | socket.socket],
    backlog: int | None,
    count: int,
    resolver: Resolver | None,
    rules: PathRules,
) -> Places:
    if inherited:
        return Places([adopt_listener(listener) for listener in inherited], 0, None, handed_on=False)
    mine = listen_before_forks(queries_of(host, port), backlog, True, rules, resolver)
    return Places(mine, 0 if mine[0].family == "unix" else count, backlog)


def _idle_poller() -> Poller | None:
    """Return the poller that has made the listeners, unless it has sockets of the program. Workers have no use for it.

    A poller does not survive the fork.
    """
    poller = current_scheduler().poller
    return None if poller.stats().attached else poller


# In the worker.


def _work(
    handler: Callable[[Any], Any],
    handed_on: bool,
    options: dict[str, Any],
    resolver: Resolver | None,
    inherited: Poller | None,
    its: socket.socket,
    mine: Iterable[TCP],
) -> None:
    if inherited is not None:
        inherited.shutdown()
    run(_serve, its, handler, mine, handed_on, options, resolver=resolver)


def _serve(
    its: socket.socket, handler: Callable[[Any], Any], mine: Iterable[TCP], handed_on: bool, options: dict[str, Any]
) -> Generator[Any, None, None]:
    with unix(fileno=its.detach()) as line, threadset() as ts:
        orders = _Orders(line, options["drain_s"], options["grace_s"], handed_on)
        catcher = catching([signal.SIGTERM], orders.asked_to_leave)
        yield from catcher.begin()
        try:
            cut = yield from serve(
                handler,
                listeners=list(mine),
                signals=(),
                ready=lambda server: ts.newthread(orders.obey, server),
                **options,
            )
        finally:
            catcher.end()
        yield from orders.tell(b"%d" % cut)
        ts.cancel()
        yield from ts.join()


class _Orders:
    """The orders of a worker, from its supervisor and from SIGTERM.

    SIGTERM asks it to leave. The supervisor decides how: with a successor that gets the connections in the queue, or
    together with all other workers at the end.
    """

    def __init__(self, line: TCP, drain_s: float, grace_s: float, handed_on: bool) -> None:
        self._line = line
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._handed_on = handed_on
        self._server: Server | None = None
        self._asked = 0
        self._ordered = False
        self._telling = Lock()

    def tell(self, what: bytes) -> Generator[Any, None, None]:
        """Tell the supervisor, if it is still there. One message at a time, because sending may have to wait."""
        with (yield from self._telling.acquire()), suppress(ConnectionError):
            yield from self._line.sendall(what)

    def asked_to_leave(self, signum: int) -> None:
        self._asked += 1
        staff.is_leaving = True
        if self._server is not None:
            newthread(self._leave, self._server)

    def _leave(self, server: Server) -> Generator[Any, None, None]:
        if self._asked > 1:
            yield from server.stop(0)
            return
        yield from self.tell(LEAVING)
        yield from sleep(_ANSWER_S)
        if not self._ordered:  # the supervisor is busy; it has the listeners, and will start another worker
            yield from server.stop(self._grace_s)

    def obey(self, server: Server) -> Generator[Any, None, None]:
        """Report that the server listens; stop it on an order, or when the supervisor is gone."""
        yield from self.tell(READY)
        self._server = server
        if self._asked:
            newthread(self._leave, server)
        order = yield from self._next()
        self._ordered = staff.is_leaving = True
        drain_s = 0.0
        if order == STOP:
            drain_s = self._drain_s
            yield from self.tell(HERE)
            order = yield from self._next()
        server._drains_shared = self._handed_on and order != LEAVE
        with threadset() as ts:
            ts.newthread(stop_drained, server, drain_s, self._grace_s)
            while True:  # see threads/lock.py
                if not order or order == CUT:
                    break
                order = yield from self._next()
            if order == CUT:
                ts.newthread(server.stop, 0)
            yield from ts.join()

    def _next(self) -> Generator[Any, None, bytes]:
        """Receive the next order, b"" if the supervisor is gone."""
        try:
            return (yield from self._line.recv(1))
        except ConnectionError:
            return b""
