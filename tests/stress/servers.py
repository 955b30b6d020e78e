"""Random servers: clients ask, are silent or leave; handlers answer, block or crash; and servers stop amid all this.

Servers run one after the other until enough operations were made. A request sent before a stop is answered, unless the
stop cuts; no handler is cancelled during a request; connections never exceed the maximum; and every stop ends.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import socket2
from socket2 import TCP, Cancelled, Server, Thread, between_requests

from .ledger import Ledger, Steps
from .worker import A_MOMENT_S, Meant, outcome

SIZE = 32
LONG_S = 60.0

# The kinds of requests: an answer at once, after a wait or after a blocking call; an answer and a close; a crash.
ASKS = (b"e", b"e", b"e", b"s", b"s", b"b", b"x", b"c")


_SHARES_PORTS = hasattr(socket, "SO_REUSEPORT")


class Log(logging.Handler):
    """Checks the log of a server: only deliberate crashes of handlers, and errors that a client has caused."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        with _somebody_elses:
            error = record.exc_info[1] if record.exc_info else None
            if record.levelno > logging.INFO and not isinstance(error, Meant):
                self._ledger.fail(f"logged: {self.format(record)}")


# Code that logs and code that uses the server both take this. It deadlocks if anything is logged under socket2's lock.
_somebody_elses = threading.Lock()


class Round:
    """One server from start to end."""

    def __init__(self, ledger: Ledger, name: str, rng: random.Random) -> None:
        self._ledger = ledger
        self._name = name
        self._random = rng
        self._lock = threading.Lock()
        self._now = 0
        self._begun = 0
        self._ended = 0
        self._excused: set[Any] = set()  # the clients whose connections were cancelled on purpose
        self._max = rng.choice([None, 1, 2, 5])
        self._graces = [rng.choice([0, A_MOMENT_S, LONG_S, LONG_S]) for _ in range(rng.randrange(1, 4))]
        self._server = Server(
            self._handle, max_connections=self._max, first_request_s=rng.choice([0, A_MOMENT_S, LONG_S])
        )

    def make(self) -> Steps:
        for _ in range(self._random.randrange(1, 4)):
            yield from self._server.listen("127.0.0.1", reuse_port=_SHARES_PORTS)
        addresses = list(self._server.addresses)
        with ExitStack() as ports:
            # No other program may get the port before the last client has ended.
            for address in addresses if _SHARES_PORTS else ():
                port = ports.enter_context(socket2.tcp())
                port.setopt("reuseport", True)
                port.bind(address)
            yield from self._serve(addresses)
        self._close()

    def _serve(self, addresses: list[Any]) -> Steps:
        rng = self._random
        clients = [
            self._ledger.newthread(f"client {self._name}/{number}", self._client(rng.choice(addresses), number))
            for number in range(rng.randrange(1, 20))
        ]
        waiter = self._ledger.newthread("waiter", self._server.wait())  # type: ignore[arg-type]
        for _ in range(rng.randrange(6)):
            yield from self._hesitate(rng)
            if rng.random() < 0.2:
                self._cancel_one()
        stops = [self._ledger.newthread("stop", self._stop(grace_s)) for grace_s in self._graces]
        for thread in (*stops, *clients):
            how, what = yield from outcome(thread)
            if how == "raised":
                self._ledger.fail(f"{thread.name} ended with {what!r}")
        cut = yield from self._server.stop(0)
        if cut != (yield from waiter.join()):
            self._ledger.fail(f"{self._name}: stop() and wait() return different numbers")

    def _close(self) -> None:
        server = self._server
        if server.connections or server._accepting or server._queued:
            self._ledger.fail(f"{self._name} has ended, and {server!r} has something left")
        if self._begun != self._ended or self._now:
            self._ledger.fail(f"{self._name}: {self._begun} handlers began, {self._ended} ended, {self._now} are left")

    def _hesitate(self, rng: random.Random) -> Steps:
        yield from socket2.sleep(rng.choice([0, 0, rng.random() * A_MOMENT_S]))

    def _stop(self, grace_s: float) -> Steps:
        rng = random.Random(f"{self._name}/{grace_s}")
        yield from self._hesitate(rng)
        if rng.random() < 0.3:  # it was cancelled, and begins again
            with suppress(TimeoutError), socket2.timeout(rng.random() * A_MOMENT_S):
                yield from self._server.stop(grace_s)
        yield from self._server.stop(grace_s)

    def _cancel_one(self) -> None:
        present = self._server._connections.present()
        if present:
            connection = self._random.choice(present)
            with self._lock:
                self._excused.add(connection.conn.remote_address)
            thread = connection.thread
            if isinstance(thread, Thread):
                thread.cancel()

    # In the server.

    def _handle(self, conn: TCP) -> Steps:
        with self._lock:
            self._begun += 1
            self._now += 1
            if self._max is not None and self._now > self._max:
                self._ledger.fail(f"{self._name}: {self._now} connections, and {self._max} were allowed")
        try:
            yield from self._answer(conn)
        finally:
            with self._lock:
                self._now -= 1
                self._ended += 1

    def _answer(self, conn: TCP) -> Steps:
        while True:
            with between_requests():
                request = yield from conn.recv(SIZE)
            if not request:
                return
            try:
                asks = request[:1]
                if asks == b"c":
                    raise Meant
                if asks == b"s":
                    yield from socket2.sleep(A_MOMENT_S / 2)
                if asks == b"b":
                    with _somebody_elses:
                        time.sleep(A_MOMENT_S / 10)
                yield from conn.sendall(request)
                if asks == b"x":
                    return
            except Cancelled:
                if not self._server._cutting and not self._is_excused(conn.remote_address):
                    self._ledger.fail(f"{self._name}: cancelled with {request!r} in hand")
                raise

    def _is_excused(self, address: Any) -> bool:
        with self._lock:
            return address in self._excused

    # Clients.

    def _client(self, address: Any, number: int) -> Steps:
        rng = random.Random(f"{self._name}/{number}")
        yield from self._hesitate(rng)
        with socket2.tcp() as sock, suppress(ConnectionError):
            yield from sock.connect(address)
            if rng.random() < 0.2:  # silent
                yield from socket2.sleep(rng.random() * A_MOMENT_S)
                return
            for count in range(rng.randrange(1, 5)):
                asks = rng.choice(ASKS)
                if not (yield from self._ask(sock, asks + f" {number}/{count}".encode().ljust(SIZE - 1, b"."))):
                    return
                self._ledger.count(2)
                if rng.random() < 0.3:
                    yield from self._hesitate(rng)

    def _ask(self, sock: TCP, request: bytes) -> Steps:
        """Send a request. Return whether it was answered and the connection is still open."""
        yield from sock.sendall(request)
        must_be_answered = not self._server.stopping.is_set() and request[:1] != b"c"
        answer = b""
        with suppress(ConnectionResetError):
            while len(answer) < SIZE and (piece := (yield from sock.recv(SIZE))):
                answer += piece
        if answer == request:
            return request[:1] != b"x"
        cut_off = self._server._cutting or self._is_excused(sock.getsockname())
        if answer or (must_be_answered and not cut_off):
            self._ledger.fail(f"{self._name}: {request!r} was answered by {answer!r}")
        return False


class Servers:
    """Runs rounds, two at a time."""

    def __init__(self, ledger: Ledger, seed: int, operations: int) -> None:
        self._ledger = ledger
        self._seed = seed
        self._operations = operations

    def run(self) -> Steps:
        log, logger = Log(self._ledger), logging.getLogger("socket2.server")
        logger.addHandler(log)
        logger.propagate = False
        try:
            rounds = [self._ledger.newthread("rounds", self._rounds(f"{self._seed}/{number}")) for number in range(2)]
            for thread in rounds:
                yield from thread.join()
        finally:
            logger.propagate = True
            logger.removeHandler(log)

    def _rounds(self, name: str) -> Steps:
        rng = random.Random(name)
        number = 0
        while self._ledger.operations < self._operations:
            number += 1
            yield from Round(self._ledger, f"{name}/{number}", rng).make()
            self._ledger.count(1)
