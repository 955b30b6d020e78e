"""The supervisor of worker processes: starts them, replaces those that die or leave, passes listeners on, stops all.

It runs no loop, because it forks, and a poller does not survive that. It holds the listening sockets of every worker,
so connections in their queues outlast the worker. A worker reports its state and gets its orders over a socket pair.
The end of that stream means that the supervisor is gone; then the worker stops.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Any, NoReturn

import pollers

from ..sockets.address import SocketAddress, format_address
from ..threads.catching import name_of
from ..threads.exiting import clean_up
from ..threads.inventory import enroll, withdraw
from ..threads.journal import Journal
from . import staff
from .inheritance import Places
from .listeners import where
from .server import CLEANUP_S
from .staff import CUT, GO, LEAVE, STOP, Worker

log = Journal("socket2.server")

# A worker that lives this long was healthy, and is replaced at once. Otherwise there is a pause, which doubles with
# each failure.
_WELL_S = 5.0
_PAUSE_S = 0.1
_PAUSE_MAX_S = 30.0

# The longest time to sleep: poll(2) limits the number.
_WAIT_MAX_S = 3600.0

# From this pause on, the worker's listeners are closed if other workers can serve its clients.
_PAUSE_CLOSED_S = 1.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Workers:
    """The supervisor, as serve_workers() passes it to `ready`. `addresses`: where the workers listen."""

    def __init__(
        self,
        work: Callable[[socket.socket, Iterable[Any]], Any],
        count: int,
        addresses: list[SocketAddress],
        grace_s: float,
        places: Places | None = None,
        reload: Callable[[int, dict[str, object]], bool] | None = None,
        reload_signals: Iterable[int] = (),
    ) -> None:
        self.addresses = addresses
        self._work = work
        self._places = places if places is not None else Places([], 0, None)
        self._grace_s = grace_s
        self._reload = reload  # called with the signal and what log records say; returns whether it loaded anything
        self._reload_signals = tuple(reload_signals)
        self._asked_to_reload = 0  # the signal that asked last, 0 if none has since the last time
        self._workers: dict[int, Worker] = {}
        self._leaving: list[Worker] = []  # workers whose successors have their listeners
        self._due = dict.fromkeys(range(count), 0.0)  # the missing workers, and when to start them
        self._failures, self._starts = [0] * count, [0] * count
        self._asked = 0  # how many signals asked to stop; a worker that cannot start counts as one
        self._heard = 0  # how many of those were acted on
        self._kill_at: float | None = None
        self._last: set[int] = set()  # missing workers for which a last one was started during the stop
        self._cut = 0
        self._served = False  # whether all workers have been ready at a time
        self._failure = ""  # why one could not start before that
        self._previous: dict[int, Any] = {}  # the handlers to restore
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    @property
    def pids(self) -> list[int]:
        """The process IDs of the workers that serve now, without those that are leaving."""
        return [worker.pid for worker in self._workers.values()]

    def run(self, ready: Callable[[Workers], Any] | None) -> int:
        """Keep the workers alive until a signal asks to stop; return how many connections they cut off then."""
        with self._signals():
            try:
                enroll(self)
                while True:  # see threads/lock.py
                    if self._asked and not self._living():
                        break
                    if not self._asked:
                        self._start_missing()
                    self._wait()
                    self._bury()
                    self._let_leave()
                    self._renew()
                    if not self._served and not self._asked and self._are_ready():
                        self._served = True
                        if ready is not None:
                            ready(self)
                    self._pass_on()
            finally:
                withdraw(self)
                self._kill(self._living())
                self._wake_receiver.close()
                self._wake_sender.close()
        if self._failure:
            raise RuntimeError(self._failure)
        return self._cut

    def _are_ready(self) -> bool:
        return not self._due and all(worker.ready for worker in self._workers.values())

    def _about(self, number: int, pid: int | None = None) -> dict[str, object]:
        """Return what log records say of a worker."""
        return {"server": where(self.addresses), "worker": number, "worker_pid": pid}

    def facts(self) -> dict[str, Any]:
        """Return what the supervisor and its workers are doing. For the other rooms of socket2."""
        living = dict.fromkeys(self._living())  # another OS thread may just move one: then it is there twice
        workers = [worker.facts(bool(self._asked)) for worker in living]
        for number, due in [(number, due) for number, due in list(self._due.items()) if number not in self._workers]:
            start_s = max(due - monotonic(), 0)
            workers.append({"number": number, "pid": None, "state": "missing", "age_s": None, "start_s": start_s})
        for worker in workers:
            worker["starts"] = self._starts[worker["number"]]
        workers.sort(key=lambda worker: (worker["number"], -(worker["age_s"] or 0)))
        return {
            "workers": workers,
            "addresses": list(map(format_address, self.addresses)),
            "stopping": bool(self._asked),
        }

    def _living(self) -> list[Worker]:
        return [*self._workers.values(), *self._leaving]

    # Starting.

    def _start_missing(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            try:
                self._places.open(number)
                self._start(number)
            except OSError as error:
                log.error("cannot start worker %d: %s", number, error, about=self._about(number))
                self._put_off(number)

    def _start(self, number: int) -> None:
        ours, its = socket.socketpair()
        with its:
            try:
                ours.setblocking(False)
                _flush()  # otherwise the worker would write the same output again
                self._workers[number] = Worker(number, self._fork(number, ours, its), ours)
                self._starts[number] += 1
            except BaseException:
                ours.close()  # if a worker was forked nevertheless, this ends it
                raise
        self._due.pop(number, None)

    def _fork(self, number: int, ours: socket.socket, its: socket.socket) -> int:
        # None of our handlers may run in the worker. Signals that come now reach it once it has its own handlers.
        blocked = (*_SIGNALS, signal.SIGCHLD, *self._reload_signals)
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
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
        staff.own_number = number
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, self._previous[signal.SIGCHLD])
            for signum in (signal.SIGINT, *self._reload_signals):
                if signal.getsignal(signum) is signal.SIG_IGN:
                    continue  # see threads/lock.py
                signal.signal(signum, _leave_it_to_the_supervisor)
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            for sock in (self._wake_receiver, self._wake_sender, *(worker.sock for worker in self._living())):
                sock.close()
            self._work(its, self._places.keep(number))
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else error.code is not None
        except BaseException as error:
            log.error("worker %d failed", number, error=error, about=self._about(number, os.getpid()))
        finally:
            try:  # as at a normal exit
                with suppress(Exception):
                    clean_up()
                if "socket2.debug" in sys.modules:
                    sys.modules["socket2.debug"].disable()
                with suppress(Exception):
                    logging.shutdown()
                _flush()
            finally:
                os._exit(status)  # the stack above belongs to the supervisor

    # Watching.

    def _wait(self) -> None:
        """Wait until a worker sends something or ends, a signal comes, or something is due."""
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
        """Reap the workers that have ended, and decide when to replace them."""
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

    def _replace(self, worker: Worker, code: int) -> None:
        number, about = worker.number, self._about(worker.number, worker.pid)
        if self._heard:
            if not worker.goes:
                self._serve_the_rest(number)
            return
        if (code == 0 and worker.has_stopped) or code == -signal.SIGTERM:  # it was asked to leave
            self._due[number] = monotonic()
            log.info("worker %d (pid %d) has left; starting another", number, worker.pid, about=about)
            return
        if code > 0 and not self._served and not worker.ready:  # another one would fail, too
            self._failure = f"worker {number} could not start: it has ended with status {code}, and logged why"
            self._asked = max(self._asked, 1)
            return
        if monotonic() - worker.begun >= _WELL_S:
            self._failures[number] = 0
        pause_s = self._put_off(number)
        ended = f"was killed by {name_of(-code)}" if code < 0 else f"exited with status {code}"
        text = "worker %d (pid %d) %s; starting another in %g s"
        log.warning(text, number, worker.pid, ended, pause_s, about=about)

    def _put_off(self, number: int) -> float:
        failures = self._failures[number]
        pause_s: float = min(_PAUSE_S * 2.0 ** min(failures - 1, 16), _PAUSE_MAX_S) if failures else 0
        self._failures[number] += 1
        self._due[number] = monotonic() + pause_s
        if pause_s >= _PAUSE_CLOSED_S and any(worker.ready for worker in self._workers.values()):
            self._places.close(number)
        return pause_s

    def _let_leave(self) -> None:
        """Let workers leave that want to. A successor gets their listeners and the connections waiting there."""
        for worker in list(self._workers.values()) if not self._asked else ():
            if worker.leaving:
                worker.tell(LEAVE)
                worker.kill_at = self._last_moment()
                self._leaving.append(worker)
                del self._workers[worker.number]
                self._due[worker.number] = monotonic()
                about = self._about(worker.number, worker.pid)
                log.info("worker %d (pid %d) is leaving; starting another", worker.number, worker.pid, about=about)
        now = monotonic()
        self._kill([worker for worker in self._leaving if worker.kill_at is not None and worker.kill_at <= now])

    def _renew(self) -> None:
        """If a signal has asked for it, load again what the workers begin with, and replace all of them."""
        signum, self._asked_to_reload = self._asked_to_reload, 0
        if not signum or self._asked or self._reload is None:
            return
        if not self._reload(signum, {"server": where(self.addresses)}):
            return
        for worker in self._workers.values():
            if not worker.renewed:  # a second SIGTERM would cut off its connections
                worker.renewed = True
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)

    # Stopping.

    def _last_moment(self, grace_s: float | None = None) -> float:
        return monotonic() + (self._grace_s if grace_s is None else grace_s) + 2 * CLEANUP_S + 1

    def _pass_on(self) -> None:
        """First request: let the workers finish. Second request: let them cut off. End of the grace: kill them."""
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
                # The worker alone has them now, and closes them when the queues are empty.
                self._places.hand_over(worker.number)
                worker.goes = True
                worker.tell(GO)
        if self._kill_at is not None and self._kill_at <= monotonic():
            self._kill(self._living())

    def _serve_the_rest(self, number: int) -> None:
        """Start a last worker for a missing one during the stop, if clients still wait in its queue."""
        fds = [sock.fileno() for sock in self._places.of(number)]
        if number in self._last or not (self._places.handed_on and fds and pollers.ready(fds, [])[0]):
            self._places.hand_over(number)
            return
        self._last.add(number)
        try:
            self._start(number)
        except OSError as error:
            log.error("cannot start worker %d: %s", number, error, about=self._about(number))
        else:
            self._workers[number].tell(STOP)

    def _kill(self, workers: list[Worker]) -> None:
        for worker in workers:
            about = self._about(worker.number, worker.pid)
            log.error("worker %d (pid %d) did not end in time; killing it", worker.number, worker.pid, about=about)
            worker.kill()
            if worker in self._leaving:
                self._leaving.remove(worker)
            else:
                del self._workers[worker.number]

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Install handlers that note a signal and end a wait; finally restore the old ones. Ignored signals stay so."""
        for caught in (*_SIGNALS, signal.SIGCHLD, *self._reload_signals):
            self._previous[caught] = signal.getsignal(caught) or signal.SIG_DFL
        wakeup_fd = signal.set_wakeup_fd(self._wake_sender.fileno(), warn_on_full_buffer=False)
        for signum in _SIGNALS:
            if self._previous[signum] is not signal.SIG_IGN:
                signal.signal(signum, self._note)
        for number in self._reload_signals:
            if self._previous[number] is not signal.SIG_IGN:
                signal.signal(number, self._note_reload)
        signal.signal(signal.SIGCHLD, _woken)
        try:
            yield
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup_fd)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._asked += 1

    def _note_reload(self, signum: int, frame: FrameType | None) -> None:
        self._asked_to_reload = signum


def _flush() -> None:
    """Flush the standard streams. A stream that is closed or has lost its reader must not stop a worker."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # AttributeError: it is None, or has only write()
            stream.flush()


def _woken(signum: int, frame: FrameType | None) -> None:
    pass  # the wake-up descriptor does the work


def _leave_it_to_the_supervisor(signum: int, frame: FrameType | None) -> None:
    """Do nothing: a terminal sends Ctrl-C and SIGHUP to all its processes.

    It is not SIG_IGN, which child processes of the worker would inherit.
    """
