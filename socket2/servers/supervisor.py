"""The supervisor of worker processes: starts them, replaces who dies or leaves, hands listeners on, stops them all.

It runs no loop and has no poller: it forks, and a poller does not survive that. It holds the listening sockets of each
worker, so what waits in their queues outlasts the worker. Each worker has one end of a socket pair, on which it tells
what becomes of it, and is told what to do; the end of the stream is the supervisor's, and means to stop.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Any, NoReturn

import pollers

from ..threads.journal import Journal
from .inheritance import Places
from .server import CLEANUP_S
from .signals import name_of

log = Journal("socket2.server")

# One that dies after so long was well, and is replaced at once; one that does not live as long is replaced after a
# pause, which doubles each time.
_WELL_S = 5.0
_PAUSE_S = 0.1
_PAUSE_MAX_S = 30.0

# Longer than this it does not wait without a look: poll(2) takes no endless number.
_WAIT_MAX_S = 3600.0

# From this pause on, clients are not left to wait in its queue, if there are others to serve them.
_PAUSE_CLOSED_S = 1.0

# What a worker tells: that it serves, that it wants to leave, that it is there to stop; and at its end a number.
READY = b"+"
LEAVING = b"-"
HERE = b"!"
# What it is told: to leave its queue to a successor; to say that it is there to stop, and, when nobody else has its
# listeners, to do it; to cut.
LEAVE = b"l"
STOP = b"s"
GO = b"g"
CUT = b"c"

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Worker:
    """One process, as the supervisor knows it."""

    def __init__(self, number: int, pid: int, sock: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.sock = sock
        self.begun = monotonic()
        self.silent = False  # it has closed its end
        self.kill_at: float | None = None
        self.goes = False  # has been told to
        self._told = b""

    def listen_to(self) -> None:
        """Read what it has told by now: that it serves, or leaves; at its end, how many connections it has cut off."""
        try:
            while told := self.sock.recv(4096):
                self._told += told
            self.silent = True
        except BlockingIOError:
            pass
        except OSError:
            self.silent = True

    def tell(self, order: bytes) -> None:
        with suppress(OSError):  # it may have ended just now
            self.sock.send(order)

    @property
    def ready(self) -> bool:
        return READY in self._told

    @property
    def leaving(self) -> bool:
        return LEAVING in self._told

    @property
    def here(self) -> bool:
        return HERE in self._told

    @property
    def has_stopped(self) -> bool:
        """Whether its server came to its end, as it was asked to."""
        return bool(self._told.strip(READY + LEAVING + HERE))

    @property
    def cut(self) -> int:
        return int(self._told.strip(READY + LEAVING + HERE) or 0)

    def wait(self, options: int = 0) -> int | None:
        """Return its exit code, negative for a signal, when it has ended, or else None."""
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # somebody else has waited for it
            return 1
        return os.waitstatus_to_exitcode(status) if pid else None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # it has not been waited for, so the number is still its own
        self.wait()
        self.bury()

    def bury(self) -> None:
        from ..debug.inquiry import remove_socket_of  # which most programs never load

        self.sock.close()
        remove_socket_of(self.pid)


class Workers:
    """The supervisor, as serve_workers() hands it to `ready`. `addresses`: where the workers listen."""

    def __init__(
        self,
        work: Callable[[socket.socket, Iterable[Any]], Any],
        count: int,
        addresses: list[Any],
        grace_s: float,
        places: Places | None = None,
    ) -> None:
        self.addresses = addresses
        self._work = work
        self._places = places if places is not None else Places([], 0, None)
        self._grace_s = grace_s
        self._workers: dict[int, _Worker] = {}
        self._leaving: list[_Worker] = []  # their successors have their listeners
        self._due = dict.fromkeys(range(count), 0.0)  # when to start those that are missing
        self._failures = [0] * count
        self._asked = 0  # how often to stop
        self._heard = 0  # how many of those have been passed on
        self._kill_at: float | None = None
        self._last: set[int] = set()  # those that are missing when all stop, and of which there was a last one
        self._cut = 0
        self._previous: dict[int, Any] = {}  # handlers
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers that serve now, without those that are about to leave."""
        return [worker.pid for worker in self._workers.values()]

    def run(self, ready: Callable[[Workers], Any] | None) -> int:
        """Keep the workers alive until a signal asks to stop; return how many connections they cut off then."""
        with self._signals():
            try:
                while not self._asked or self._living():
                    if not self._asked:
                        self._start_missing()
                    self._wait()
                    self._bury()
                    self._let_leave()
                    if ready is not None and not self._due and all(worker.ready for worker in self._workers.values()):
                        tell, ready = ready, None
                        tell(self)
                    self._pass_on()
            finally:
                self._kill(self._living())
                self._wake_receiver.close()
                self._wake_sender.close()
        return self._cut

    def _living(self) -> list[_Worker]:
        return [*self._workers.values(), *self._leaving]

    # Starting.

    def _start_missing(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            try:
                self._places.open(number)
                self._start(number)
            except OSError as error:
                log.error("worker %d cannot be started: %s", number, error)
                self._put_off(number)

    def _start(self, number: int) -> None:
        ours, its = socket.socketpair()
        with its:
            try:
                ours.setblocking(False)
                _flush()  # or the worker would write it once more
                self._workers[number] = _Worker(number, self._fork(number, ours, its), ours)
            except BaseException:
                ours.close()  # by which a worker that has been forked all the same ends
                raise
        self._due.pop(number, None)

    def _fork(self, number: int, ours: socket.socket, its: socket.socket) -> int:
        # No handler of ours may run in the worker; what comes meanwhile reaches it when its own are there.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, (*_SIGNALS, signal.SIGCHLD))
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._be_worker(number, its, masked)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)

    def _be_worker(self, number: int, its: socket.socket, masked: set[Any]) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, self._previous[signal.SIGCHLD])
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, _leave_it_to_the_supervisor)
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            for sock in (self._wake_receiver, self._wake_sender, *(worker.sock for worker in self._living())):
                sock.close()
            self._work(its, self._places.keep(number))
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else error.code is not None
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                if "socket2.debug" in sys.modules:
                    sys.modules["socket2.debug"].disable()  # as at an exit
                _flush()
            finally:
                os._exit(status)  # the stack above is the supervisor's

    # Watching.

    def _wait(self) -> None:
        """Wait until a worker tells something or ends, a signal comes, or something is due."""
        dues = [] if self._asked else list(self._due.values())
        dues += [due for due in (self._kill_at, *(worker.kill_at for worker in self._leaving)) if due is not None]
        wait_ms = max(int(min(min(dues) - monotonic(), _WAIT_MAX_S) * 1000) + 1, 0) if dues else None
        talking = {worker.sock.fileno(): worker for worker in self._living() if not worker.silent}
        poll = select.poll()
        for fd in (self._wake_receiver.fileno(), *talking):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(wait_ms):
            if fd in talking:
                talking[fd].listen_to()
            else:
                self._wake_receiver.recv(4096)

    def _bury(self) -> None:
        """Wait for those that have ended, and say when another is due."""
        for worker in self._living():
            code = worker.wait(os.WNOHANG)
            if code is None:
                continue
            worker.listen_to()
            worker.bury()
            self._cut += worker.cut
            if worker in self._leaving:
                self._leaving.remove(worker)
            else:
                del self._workers[worker.number]
                self._replace(worker, code)

    def _replace(self, worker: _Worker, code: int) -> None:
        number = worker.number
        if self._heard:
            if not worker.goes:
                self._serve_the_rest(number)
            return
        if (code == 0 and worker.has_stopped) or code == -signal.SIGTERM:  # it was asked to
            self._due[number] = monotonic()
            log.info("worker %d (pid %d) has left; another starts", number, worker.pid)
            return
        if monotonic() - worker.begun >= _WELL_S:
            self._failures[number] = 0
        pause_s = self._put_off(number)
        ended = f"was ended by {name_of(-code)}" if code < 0 else f"ended with status {code}"
        log.warning("worker %d (pid %d) %s; another starts in %g s", number, worker.pid, ended, pause_s)

    def _put_off(self, number: int) -> float:
        failures = self._failures[number]
        pause_s: float = min(_PAUSE_S * 2.0 ** min(failures - 1, 16), _PAUSE_MAX_S) if failures else 0
        self._failures[number] += 1
        self._due[number] = monotonic() + pause_s
        if pause_s >= _PAUSE_CLOSED_S and any(worker.ready for worker in self._workers.values()):
            self._places.close(number)
        return pause_s

    def _let_leave(self) -> None:
        """Who wants to leave leaves its listeners, and all that waits there, to a successor."""
        for worker in list(self._workers.values()) if not self._asked else ():
            if worker.leaving:
                worker.tell(LEAVE)
                worker.kill_at = self._last_moment()
                del self._workers[worker.number]
                self._leaving.append(worker)
                self._due[worker.number] = monotonic()
                log.info("worker %d (pid %d) leaves; another starts", worker.number, worker.pid)
        now = monotonic()
        self._kill([worker for worker in self._leaving if worker.kill_at is not None and worker.kill_at <= now])

    # Stopping.

    def _last_moment(self, grace_s: float | None = None) -> float:
        return monotonic() + (self._grace_s if grace_s is None else grace_s) + 2 * CLEANUP_S + 1

    def _pass_on(self) -> None:
        """Asked once: let the workers finish. Asked again: let them cut. Out of time: kill them."""
        while self._heard < self._asked:
            self._heard += 1
            if self._heard == 1:
                self._kill_at = self._last_moment()
                for worker in self._workers.values():
                    worker.tell(STOP)
                for number in list(self._due):
                    self._serve_the_rest(number)
            else:
                self._kill_at = min(self._kill_at or 0, self._last_moment(0))
                for worker in self._living():
                    worker.tell(CUT)
        for worker in self._workers.values():
            if worker.here and not worker.goes:
                self._places.hand_over(
                    worker.number
                )  # it alone has them now, and closes them when the queues are empty
                worker.goes = True
                worker.tell(GO)
        if self._kill_at is not None and self._kill_at <= monotonic():
            self._kill(self._living())

    def _serve_the_rest(self, number: int) -> None:
        """All stop, and this worker is missing: if clients wait in its queue, a last one serves these."""
        fds = [sock.fileno() for sock in self._places.of(number)]
        if number in self._last or not (self._places.handed_on and fds and pollers.ready(fds, [])[0]):
            self._places.hand_over(number)
            return
        self._last.add(number)
        try:
            self._start(number)
        except OSError as error:
            log.error("worker %d cannot be started: %s", number, error)
        else:
            self._workers[number].tell(STOP)

    def _kill(self, workers: list[_Worker]) -> None:
        for worker in workers:
            log.error("worker %d (pid %d) does not end and is killed", worker.number, worker.pid)
            worker.kill()
            if worker in self._leaving:
                self._leaving.remove(worker)
            else:
                del self._workers[worker.number]

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


def _flush() -> None:
    """Flush the standard streams. One that is closed, or has lost its reader, keeps no worker from its start or end."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # AttributeError: it is None, or has only write()
            stream.flush()


def _woken(signum: int, frame: FrameType | None) -> None:
    pass  # the wake-up descriptor has done it


def _leave_it_to_the_supervisor(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C reaches all processes of a terminal. Not ignored: programs that the worker starts would inherit that."""
