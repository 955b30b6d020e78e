"""A random program: workers, and the OS threads that serve them."""

from __future__ import annotations

import os
import random
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any

import socket2
from socket2.threads import osthreads
from socket2.threads.member import current_member
from socket2.threads.scheduler import local

from .ledger import Ledger, Steps
from .servers import Servers
from .services import Services
from .together import Together
from .worker import Worker

WORKERS = 24
# The interpreter's own interval, and shorter ones: then OS threads interrupt each other in more places.
SWITCH_INTERVALS_S = (0.005, 0.0005, 0.00005, 0.000005)

HOWS = ("serve", "join", "come-and-go")
WHATS = ("mixture", "server", "together")
share_fd = socket2.iocp if sys.platform == "win32" else socket2.epoll_fd


@dataclass(frozen=True)
class Program:
    seed: int
    members: int
    how: str
    operations: int
    what: str = "mixture"

    def command(self) -> str:
        environment = "".join(
            f"{name}={os.environ[name]} "
            for name in ("SOCKET2_POLLER", "SOCKET2_NATIVE", "SOCKET2_CHECK")
            if name in os.environ
        )
        return (
            f"{environment}python -m tests.stress --seed {self.seed} --members {self.members} --how {self.how} "
            f"--operations {self.operations} --what {self.what}"
        )


class Run:
    """One run of a program. `ledger.failures` lists what went wrong."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._random = random.Random(program.seed)
        self._over = False
        self._joined = 0
        self.ledger = Ledger()

    def make(self) -> None:
        before = Belongings()
        sys.setswitchinterval(self._random.choice(SWITCH_INTERVALS_S))
        socket2.thread.crashhook, hook = self._crashed, socket2.thread.crashhook
        try:
            if self._program.how == "serve":
                self.ledger.newthread("main", self._main())
                socket2.serve_threads(self._program.members)
            else:
                self._serve_with_guests()
        finally:
            socket2.thread.crashhook = hook
        self._over = True
        self._close()
        self.ledger.close()
        before.compare(self.ledger)

    def _crashed(self, thread: socket2.Thread[object], error: BaseException) -> None:
        if not thread.name.startswith("child"):  # the thread that joins it later judges its outcome
            self.ledger.fail(f"{thread.name} crashed: {''.join(traceback.format_exception(error))}")

    def _main(self) -> Steps:
        if self._program.what == "server":
            yield from Servers(self.ledger, self._program.seed, self._program.operations).run()
        elif self._program.what == "together":
            yield from Together(self.ledger, self._program.seed, self._program.operations).run()
        else:
            yield from self._mixture()
        self._over = True

    def _mixture(self) -> Steps:
        services = Services(self.ledger)
        budget = self._program.operations // WORKERS
        seeds = [f"{self._program.seed}/{number}" for number in range(WORKERS)]
        workers = [
            self.ledger.newthread(f"worker {seed}", Worker(self.ledger, services, seed, budget).run()) for seed in seeds
        ]
        for worker in workers:
            try:
                yield from worker.join()
            except Exception as error:
                self.ledger.fail("".join(traceback.format_exception(error)))
        yield from services.close()

    # OS threads that join by the scheduler's descriptor.

    def _serve_with_guests(self) -> None:
        fd = share_fd()
        self.ledger.newthread("main", self._main())
        if self._program.how == "come-and-go":
            self.ledger.newthread("stopper", self._stop_now_and_then())
        guests = [threading.Thread(target=self._guest, args=(fd,)) for _ in range(self._program.members - 1)]
        for guest in guests:
            guest.start()
        while not self._over or local.scheduler.threads:  # type: ignore[union-attr]
            socket2.start()
        for guest in guests:
            guest.join()

    def _guest(self, fd: int) -> None:
        try:
            while not self._over:
                share_fd(fd)
                socket2.start()
        except BaseException as error:
            self.ledger.fail(f"a member's loop ended: {''.join(traceback.format_exception(error))}")

    def _stop_now_and_then(self) -> Steps:
        """Make the member that runs this leave. It joins again."""
        while not self._over:
            yield from socket2.sleep(self._random.random() * 0.01)
            socket2.stop()

    def _close(self) -> None:
        scheduler = local.scheduler
        assert scheduler is not None
        for thread in scheduler.threads:
            self.ledger.fail(f"left behind: {thread!r}")
        for _, _, timer in scheduler.timers.heap:
            if timer.due is not None:
                self.ledger.fail(f"a timer is left behind: {timer}")
        if scheduler.ready or scheduler.hopeless or scheduler.loops:
            self.ledger.fail(f"left: {scheduler.ready}, {scheduler.hopeless} hopeless, {scheduler.loops}")
        current_member().close()
        local.scheduler = local.member = None
        osthreads.calls.end()


class Belongings:
    """The descriptors and OS threads of the process."""

    def __init__(self) -> None:
        self._descriptors = self._look()
        self._os_threads = set(threading.enumerate())

    def _look(self) -> dict[str, Any]:
        found = {}
        for name in os.listdir("/proc/self/fd") if os.name == "posix" and os.path.isdir("/proc/self/fd") else ():
            try:
                found[name] = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:
                pass  # the descriptor of the listing itself
        return found

    def compare(self, ledger: Ledger) -> None:
        for name, what in self._look().items():
            if self._descriptors.get(name) != what:
                ledger.fail(f"descriptor {name} is left behind: {what}")
        for os_thread in set(threading.enumerate()) - self._os_threads:
            ledger.fail(f"an OS thread is left behind: {os_thread}")
