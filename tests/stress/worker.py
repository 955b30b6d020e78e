"""One worker of a random program. It does one thing after the other, and knows how each may end.

Its own random number generator decides what it does, so a seed gives the same program again. When its steps
run, and in which OS thread, depends on the system.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import socket2
from socket2 import TCP, Cancelled, Closed, Thread

from .ledger import Ledger, Steps
from .services import Services

BIG = 1 << 20
A_MOMENT_S = 0.002


class Wrong(AssertionError):
    """An outcome that a worker must never see."""


class Meant(Exception):
    """The error of a worker that fails on purpose."""


def check(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def pair() -> tuple[TCP, TCP]:
    """Return two connected stream sockets."""
    one, other = socket.socketpair()
    make = socket2.tcp if one.family == socket.AF_INET else socket2.unix
    for sock in (one, other):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BIG // 8)  # so that a big send has to wait
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BIG // 8)
    return make(fileno=one.detach()), make(fileno=other.detach())


def receive(sock: Any, size: int) -> Steps:
    """Receive exactly `size` bytes."""
    data = bytearray()
    while len(data) < size:
        piece = yield from sock.recv(size - len(data))
        check(bool(piece), f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


def outcome(thread: Thread[object]) -> Steps:
    """Join a thread. Return ("returned", value), ("cancelled", None) or ("raised", error)."""
    try:
        return "returned", (yield from thread.join())
    except Cancelled:
        return "cancelled", None
    except Exception as error:
        if isinstance(error, Wrong):
            raise
        return "raised", error


class Worker:
    """A worker that makes about `budget` operations."""

    def __init__(self, ledger: Ledger, services: Services, seed: str, budget: int) -> None:
        self._ledger = ledger
        self._services = services
        self._seed = seed
        self._budget = budget
        self._random = random.Random(seed)
        self._made = 0
        self._messages = 0
        self._connection: TCP | None = None
        self._actions: list[tuple[Callable[[], Steps], int]] = [
            (self.echo, 40),
            (self.echo_late, 6),
            (self.echo_datagram, 8),
            (self.reconnect, 3),
            (self.sleep, 10),
            (self.block, 1),
            (self.suspend_and_resume, 8),
            (self.join_child, 8),
            (self.join_in_time, 4),
            (self.cancel_child, 6),
            (self.cancel_receiver, 6),
            (self.close_under_receiver, 4),
            (self.cancel_big_send, 1),
            (self.big_echo, 1),
            (self.nested_timeouts, 4),
            (self.call, 1),
        ]

    def run(self) -> Steps:
        actions, weights = zip(*self._actions, strict=True)
        try:
            yield from self.reconnect()
            while self._made < self._budget:
                before = self._made
                yield from self._random.choices(actions, weights)[0]()
                self._ledger.count(self._made - before)
        finally:
            if self._connection is not None:
                self._connection.close()

    # Its parts.

    def _message(self, size: int = 0) -> bytes:
        """Return a unique message."""
        self._messages += 1
        head = f"<{self._seed} {self._messages}>".encode()
        return head.ljust(size, b".")

    def _child(self, steps: Steps) -> Thread[object]:
        self._made += 1
        return self._ledger.newthread(f"child of {self._seed}", steps)

    def _moment(self) -> float:
        return self._random.choice([0, 0, self._random.random() * A_MOMENT_S])

    def _hesitate(self) -> Steps:
        """Sleep for 0 seconds or a moment, or do nothing."""
        kind = self._random.randrange(3)
        if kind:
            yield from socket2.sleep(self._moment() if kind == 1 else 0)
            self._made += 1

    # What it does.

    def reconnect(self) -> Steps:
        if self._connection is not None:
            self._connection.close()
        self._connection = connection = socket2.tcp()
        if self._random.random() < 0.3:
            connection.settimeout(20)
        yield from connection.connect(*self._services.address)
        self._made += 2

    def _open(self) -> TCP:
        assert self._connection is not None
        return self._connection

    def echo(self) -> Steps:
        connection = self._open()
        for _ in range(self._random.randrange(1, 6)):
            message = self._message(self._random.choice([0, 100, 5000]))
            yield from connection.sendall(message)
            check((yield from receive(connection, len(message))) == message, "another echo than what was sent")
            self._made += 2

    def big_echo(self) -> Steps:
        connection = self._open()
        message = self._message(self._random.randrange(BIG))
        sender = self._child(self._sendall(connection, message))
        check((yield from receive(connection, len(message))) == message, "another echo than what was sent")
        yield from sender.join()
        self._made += 3

    def _sendall(self, connection: TCP, message: bytes) -> Steps:
        yield from connection.sendall(message)

    def echo_late(self) -> Steps:
        """The echo and the timeout come at about the same time: no byte is lost, and none comes twice."""
        connection = self._open()
        message = self._message()
        connection.settimeout(self._moment() / 4, "read")
        yield from connection.sendall(message)
        echo = b""
        while len(echo) < len(message):
            try:
                echo += yield from connection.recv(len(message) - len(echo))
            except TimeoutError:
                connection.settimeout(None, "read")
            self._made += 1
        connection.settimeout(None, "read")
        check(echo == message, f"echo {echo!r} of {message!r}")

    def echo_datagram(self) -> Steps:
        with socket2.udp() as sock:
            yield from sock.connect(*self._services.datagram_address)
            for _ in range(self._random.randrange(1, 4)):
                message = self._message()
                yield from sock.send(message)
                with socket2.timeout(20):
                    echo = yield from sock.recv(2048)
                check(echo == message, f"datagram {echo!r} for {message!r}")
                self._made += 2
            sock.settimeout(self._moment() / 4)
            with suppress(TimeoutError):
                check(False, f"one datagram too many: {(yield from sock.recv(2048))!r}")
        self._made += 4

    def sleep(self) -> Steps:
        seconds = self._moment()
        begun = time.monotonic()
        yield from socket2.sleep(seconds)
        check(time.monotonic() >= begun + seconds, "a sleep was too short")
        self._made += 1

    def block(self) -> Steps:
        """Block this OS thread: the others continue."""
        time.sleep(self._moment())
        yield from socket2.sleep(0)
        self._made += 1

    def call(self) -> Steps:
        value = self._messages
        check((yield from socket2.call_in_thread(lambda: value)) == value, "another call's result")
        self._made += 1

    def suspend_and_resume(self) -> Steps:
        sleeper = self._child(self._suspend())
        yield from self._hesitate()
        values = [self._message(), self._message()]
        for value in values:
            while True:
                try:
                    socket2.resume(sleeper, value)
                    break
                except RuntimeError:  # it runs in another OS thread and has not reached its suspend() yet
                    yield from socket2.sleep(0)
        check((yield from sleeper.join()) == values, "resumed with other values")
        self._made += 5

    def _suspend(self) -> Steps:
        return [(yield from socket2.suspend()), (yield from socket2.suspend())]

    def join_child(self) -> Steps:
        value, fails = self._message(), self._random.random() < 0.3
        children = [self._child(self._live_a_little(value, fails)) for _ in range(self._random.randrange(1, 4))]
        for child in children:
            how, what = yield from outcome(child)
            if how == "raised":
                check(fails and isinstance(what, Meant) and what.args == (value,), f"another error: {what!r}")
            else:
                check(how == "returned" and not fails and what == value, f"{how} {what!r} instead of {value!r}")
            self._made += 1

    def _live_a_little(self, value: bytes, fails: bool = False) -> Steps:
        yield from socket2.sleep(0)  # so that the first one was usually joined before
        if fails:
            with suppress(Cancelled):
                yield from socket2.sleep(A_MOMENT_S)
            raise Meant(value)
        one, other = pair()
        with one, other:
            one.settimeout(0)
            with suppress(TimeoutError):
                yield from one.recv(1)
        return value

    def join_in_time(self) -> Steps:
        """The child's end and the timeout come at about the same time."""
        value = self._message()
        child = self._child(self._sleep_and_return(self._moment(), value))
        result = None
        try:
            with socket2.timeout(self._moment()):
                result = yield from child.join()
        except TimeoutError:
            result = yield from child.join()
        check(result == value, f"joined {result!r} instead of {value!r}")
        self._made += 3

    def _sleep_and_return(self, seconds: float, value: Any) -> Steps:
        yield from socket2.sleep(seconds)
        return value

    def cancel_child(self) -> Steps:
        """Cancel a child that sleeps, waits or joins: it ends cancelled, or as it would have ended anyway."""
        inner = self._child(self._sleep_and_return(self._moment(), 1))
        waits: Steps = self._random.choice(
            [
                self._sleep_and_return(self._moment(), 1),
                self._join(inner),
                self._suspend(),
                self._sleep_and_return(9, 1),
            ]
        )
        child = self._child(waits)
        yield from self._hesitate()
        child.cancel()
        how, what = yield from outcome(child)
        check(how == "cancelled" or (how, what) == ("returned", 1), f"cancelled, and {how} {what!r}")
        check((yield from inner.join()) == 1, "cancelled without being meant")
        self._made += 4

    def _join(self, thread: Thread[object]) -> Steps:
        return (yield from thread.join())

    def cancel_receiver(self) -> Steps:
        """Cancel the receiver of a message: it has the message, or the next receiver gets it."""
        one, other = pair()
        with one, other:
            message = self._message()
            receiver = self._child(self._receive_once(one, len(message)))
            yield from self._hesitate()
            yield from other.sendall(message)
            if self._random.random() < 0.5:
                yield from self._hesitate()
            receiver.cancel()
            how, what = yield from outcome(receiver)
            if how == "cancelled":
                what = yield from receive(one, len(message))
            check(what == message, f"{how} {what!r} instead of {message!r}")
        self._made += 5

    def _receive_once(self, sock: TCP, size: int) -> Steps:
        return (yield from sock.recv(size))

    def close_under_receiver(self) -> Steps:
        one, other = pair()
        with other:
            waiter = self._child(self._receive_once(one, 100))
            sender = self._child(self._sendall(one, bytes(BIG))) if self._random.random() < 0.2 else None
            yield from self._hesitate()
            one.close()
            how, what = yield from outcome(waiter)
            check(how == "raised" and isinstance(what, Closed), f"closed, and it {how} {what!r}")
            if sender is not None:
                how, what = yield from outcome(sender)
                check(how == "raised" and isinstance(what, Closed), f"closed, and it {how} {what!r}")
            left = 1
            while left:
                left = len((yield from other.recv(BIG)))
        self._made += 5

    def cancel_big_send(self) -> Steps:
        """Cancel a long send: exactly `bytes_sent` bytes arrive."""
        one, other = pair()
        with other:
            with one:
                sender = self._child(self._count_sent(one, bytes(4 * BIG)))
                reader = self._child(receive(other, self._random.randrange(2 * BIG)))
                yield from self._hesitate()
                sender.cancel()
                sent = yield from sender.join()
                reader.cancel()
                _, received = yield from outcome(reader)
            if received is not None:  # otherwise the bytes that it had read are lost with it
                arrived = len(received)
                while piece := (yield from other.recv(BIG)):
                    arrived += len(piece)
                check(arrived == sent, f"{sent} bytes were sent and {arrived} have arrived")
        self._made += 6

    def _count_sent(self, sock: TCP, data: bytes) -> Steps:
        try:
            yield from sock.sendall(data)
        except Cancelled as error:
            return error.bytes_sent
        return len(data)

    def nested_timeouts(self) -> Steps:
        outer = self._moment()
        ended = None
        try:
            with socket2.timeout(outer):
                try:
                    with socket2.timeout(self._moment()):
                        yield from socket2.sleep(9)
                except TimeoutError:
                    ended = "inner"
                    yield from socket2.sleep(9)
        except TimeoutError:
            ended = "outer"
        check(ended == "outer", f"the outer timeout did not end it: {ended}")
        self._made += 2
