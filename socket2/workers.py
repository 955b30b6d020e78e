"""Worker processes: one server in each, all on the same port (SO_REUSEPORT), and a supervisor that replaces the dead.

The supervisor runs no loop and has no poller: it forks, and a poller does not survive that. It keeps a socket bound,
without listening, so the port stays ours whoever dies. Each worker has one end of a socket pair, on which it tells what
becomes of it, and is told to stop; the end of the stream is the supervisor's, and means the same.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any, NoReturn

from pollers import Operation

from .addr import AddressList, Host, Port, Query
from .listeners import bind, queries_of
from .loop import run
from .server import CLEANUP_S, GRACE_S, Server
from .serving import serve
from .tcp import TCP
from .thread import local
from .threadset import threadset
from .timers import duration

log = logging.getLogger("socket2")

# One that dies after so long was well, and is replaced at once; one that does not live as long is replaced after a
# pause, which doubles each time.
_WELL_S = 5.0
_PAUSE_S = 0.1
_PAUSE_MAX_S = 30.0

# What a worker tells first, and what it is told.
_READY = b"+"
_STOP = b"s"
_CUT = b"c"

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Worker:
    """One process, as the supervisor knows it."""

    def __init__(self, number: int, pid: int, sock: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.sock = sock
        self.begun = monotonic()
        self.silent = False  # nothing more is to come before its end
        self._told = b""

    def listen_to(self) -> None:
        """Read what it has told by now: that it serves; at its end, how many connections it has cut off."""
        with suppress(OSError):
            self._told += self.sock.recv(4096)
        self.silent = True

    @property
    def ready(self) -> bool:
        return self._told.startswith(_READY)

    @property
    def cut(self) -> int:
        return int(self._told.removeprefix(_READY) or 0)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)  # it has not been waited for, so the number is still its own
        os.waitpid(self.pid, 0)
        self.sock.close()


class Workers:
    """The supervisor, as serve_workers() hands it to `ready`. `addresses`: where the workers listen."""

    def __init__(self, work: Callable[[socket.socket], Any], count: int, addresses: list[Any], grace_s: float) -> None:
        self.addresses = addresses
        self._work = work
        self._count = count
        self._grace_s = grace_s
        self._workers: dict[int, _Worker] = {}
        self._due = dict.fromkeys(range(count), 0.0)  # when to start those that are missing
        self._failures = [0] * count
        self._asked = 0  # how often to stop
        self._heard = 0  # how many of those have been passed on
        self._kill_at: float | None = None
        self._cut = 0
        self._previous: dict[int, Any] = {}  # handlers
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers that live now."""
        return [worker.pid for worker in self._workers.values()]

    def run(self, ready: Callable[[Workers], Any] | None) -> int:
        """Keep the workers alive until a signal asks to stop; return how many connections they cut off then."""
        with self._signals():
            try:
                while not self._asked or self._workers:
                    if not self._asked:
                        self._start_missing()
                    self._wait()
                    self._bury()
                    if ready is not None and not self._due and all(worker.ready for worker in self._workers.values()):
                        ready(self)
                        ready = None
                    self._pass_on()
            finally:
                self._kill()
                self._wake_receiver.close()
                self._wake_sender.close()
        return self._cut

    # Starting.

    def _start_missing(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            try:
                self._start(number)
            except OSError as error:
                log.error("worker %d cannot be started: %s", number, error)
                self._put_off(number)
            else:
                del self._due[number]

    def _start(self, number: int) -> None:
        ours, its = socket.socketpair()
        ours.setblocking(False)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # or the worker would write it once more
        # No handler of ours may run in the worker; what comes meanwhile reaches it when its own are there.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, (*_SIGNALS, signal.SIGCHLD))
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._be_worker(its, masked)
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        self._workers[number] = _Worker(number, pid, ours)

    def _be_worker(self, its: socket.socket, masked: set[Any]) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, self._previous[signal.SIGCHLD])
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, _leave_it_to_the_supervisor)
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            for sock in (self._wake_receiver, self._wake_sender, *(worker.sock for worker in self._workers.values())):
                sock.close()
            self._work(its)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else error.code is not None
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                for stream in (sys.stdout, sys.stderr):
                    if stream is not None:
                        stream.flush()
            finally:
                os._exit(status)  # the stack above is the supervisor's

    # Watching.

    def _wait(self) -> None:
        """Wait until a worker tells something or ends, a signal comes, or something is due."""
        dues = [] if self._asked else list(self._due.values())
        if self._kill_at is not None:
            dues.append(self._kill_at)
        wait_s = max(min(dues) - monotonic(), 0) if dues else None
        workers = {worker.sock: worker for worker in self._workers.values() if not worker.silent}
        readable, _, _ = select.select([self._wake_receiver, *workers], [], [], wait_s)
        for sock in readable:
            if sock is self._wake_receiver:
                sock.recv(4096)
            else:
                workers[sock].listen_to()

    def _bury(self) -> None:
        """Wait for those that have ended, and say when another is due."""
        for number, worker in list(self._workers.items()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            worker.listen_to()
            worker.sock.close()
            self._cut += worker.cut
            del self._workers[number]
            if monotonic() - worker.begun >= _WELL_S:
                self._failures[number] = 0
            pause_s = self._put_off(number)
            if not self._asked:
                how = os.waitstatus_to_exitcode(status)
                ended = f"was ended by {signal.Signals(-how).name}" if how < 0 else f"ended with status {how}"
                log.warning("worker %d (pid %d) %s; another starts in %g s", number, pid, ended, pause_s)

    def _put_off(self, number: int) -> float:
        failures = self._failures[number]
        pause_s: float = min(_PAUSE_S * 2 ** (failures - 1), _PAUSE_MAX_S) if failures else 0
        self._failures[number] += 1
        self._due[number] = monotonic() + pause_s
        return pause_s

    # Stopping.

    def _pass_on(self) -> None:
        """Asked once: let the workers finish. Asked again: let them cut. Out of time: kill them."""
        now = monotonic()
        while self._heard < self._asked:
            self._heard += 1
            if self._kill_at is None:
                self._kill_at = now + self._grace_s + 2 * CLEANUP_S + 1
            else:
                self._kill_at = min(self._kill_at, now + 2 * CLEANUP_S + 1)
            for worker in self._workers.values():
                with suppress(OSError):  # it may have ended just now
                    worker.sock.send(_STOP if self._heard == 1 else _CUT)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill()

    def _kill(self) -> None:
        for worker in self._workers.values():
            log.error("worker %d (pid %d) does not end and is killed", worker.number, worker.pid)
            worker.kill()
        self._workers.clear()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Handlers that note, and end a wait; afterwards all is as before. What is ignored stays so."""
        for caught in (*_SIGNALS, signal.SIGCHLD):
            self._previous[caught] = signal.getsignal(caught) or signal.SIG_DFL
        wakeup_fd = signal.set_wakeup_fd(self._wake_sender.fileno(), warn_on_full_buffer=False)
        for signum in _SIGNALS:
            if self._previous[signum] is not signal.SIG_IGN:
                signal.signal(signum, self._note)
        signal.signal(signal.SIGCHLD, _woken)
        try:
            yield
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_fd)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._asked += 1


def _woken(signum: int, frame: FrameType | None) -> None:
    pass  # the wake-up descriptor has done it


def _leave_it_to_the_supervisor(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C reaches all processes of a terminal. Not ignored: programs that the worker starts would inherit that."""


def serve_workers(
    handler: Callable[[TCP], Any],
    host: Host = None,
    port: Port = 0,
    *,
    workers: int | None = None,
    listeners: Sequence[TCP] = (),
    backlog: int | None = None,
    max_connections: int | None = None,
    grace_s: float = GRACE_S,
    ready: Callable[[Workers], Any] | None = None,
) -> int:
    """Serve in several processes until SIGTERM or SIGINT; return how many connections were cut off. Instead of run().

    `workers`: how many processes, by default one for each CPU of this one. `max_connections` is for each. The rest is
    as in serve(), with `reuse_port`: the kernel spreads connections over the workers. `ready(workers)` is called here,
    in the supervisor, when all of them listen: `workers.addresses` tells where, `workers.pids` who.

    A worker that dies is replaced at once, one that dies again soon after a pause. With it go its own connections and
    those in its queue, nobody else's. A worker that gets a SIGTERM stops gracefully and is replaced. When the
    supervisor dies its workers stop gracefully.

    A plain call that blocks, in the main OS thread only, and before other OS threads are started: it forks (fork(2)).
    RuntimeError elsewhere. OSError when an address cannot be had, or the system has no fork or SO_REUSEPORT.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("serve_workers() forks and catches signals: it belongs into the main OS thread")
    if local.member is not None and (local.member.running or local.member.current is not None):
        raise RuntimeError("serve_workers() forks: call it instead of run(), not inside it")
    if not hasattr(os, "fork") or not (listeners or hasattr(socket, "SO_REUSEPORT")):
        raise OSError("worker processes need fork(2) and SO_REUSEPORT, which this system does not have")
    count = workers if workers is not None else _cpus()
    if count < 1:
        raise ValueError(f"one worker at least, not {count!r}")
    Server(handler, max_connections=max_connections)  # what is wrong with these is said here, not in each worker
    options = {"backlog": backlog, "max_connections": max_connections, "grace_s": duration(grace_s)}
    mine = list(listeners) or bind([query.at_once() or query.look_up() for query in queries_of(host, port)], True)
    try:
        addresses = [sock.getsockname() for sock in mine]
        work = partial(_work, handler, mine, bool(listeners), options)
        return Workers(work, count, addresses, duration(grace_s)).run(ready)
    finally:
        for sock in mine:
            sock.close()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _work(
    handler: Callable[[TCP], Any], inherited: list[TCP], shared: bool, options: dict[str, Any], its: socket.socket
) -> None:
    """What a worker process does."""
    if shared:
        run(_serve, its, partial(serve, handler, listeners=inherited), options)
        return
    queries = [Query(sock.getsockname(), 0, "tcp", sock.family, None, ()) for sock in inherited]
    addresses = AddressList(address for query in queries for address in query.at_once() or ())
    for sock in inherited:
        sock.close()
    run(_serve, its, partial(serve, handler, addresses, reuse_port=True), options)


def _serve(
    its: socket.socket, serve_there: Callable[..., Operation[int]], options: dict[str, Any]
) -> Generator[Any, None, None]:
    with TCP(its, None, "a worker") as line, threadset() as ts:
        cut = yield from serve_there(
            signals=[signal.SIGTERM],
            ready=lambda server: ts.newthread(_obey, line, server, options["grace_s"]),
            **options,
        )
        with suppress(ConnectionError):  # there may be no supervisor any more
            yield from line.sendall(b"%d" % cut)


def _obey(line: TCP, server: Server, grace_s: float) -> Generator[Any, None, None]:
    """Tell that the server listens, and stop it when that is asked for, or when nobody is there any more to ask."""
    with suppress(ConnectionError):
        yield from line.sendall(_READY)
    yield from _order(line)
    with threadset() as ts:
        ts.newthread(server.stop, grace_s)
        if (yield from _order(line)) == _CUT:
            ts.newthread(server.stop, 0)
        yield from ts.join()


def _order(line: TCP) -> Generator[Any, None, bytes]:
    """Receive the next order, b"" at the supervisor's end."""
    try:
        return (yield from line.recv(1))
    except ConnectionError:
        return b""
