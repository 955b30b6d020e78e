"""Questions to a kqueue, and the answers of two kernels.

The answers are those of FreeBSD 13.0's own code and of a NetBSD 7.99 kernel. macOS was never asked: if its source
differs from FreeBSD's, its answer is what the source says. Times and sizes that vary are given in words.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kqueue_sim import simulator
from tests.kqueue_sim.abi import ABI

PATIENCE_S = 10.0  # for an event that comes
NOTHING_S = 0.01  # for an event that must not come


class Kernel:
    """A kqueue implementation and the sockets for its tests. All are closed at the end."""

    def __init__(self, name: str, impl: Any, system: str, leaving: contextlib.ExitStack) -> None:
        self.name = name
        self.impl = impl
        self.system = system
        self.abi = ABI[system]
        self._leaving = leaving

    def number(self, name: str) -> int:
        if name not in self.abi:
            pytest.skip(f"{self.system} has no {name}")
        return self.abi[name]

    def kqueue(self, *changes: Any) -> Any:
        """A kqueue with these changes applied."""
        kqueue = self.impl.kqueue()
        self._leaving.callback(kqueue.close)
        if changes:
            kqueue.control(changes, 0)
        return kqueue

    def change(self, ident: Any, filter_: str, flags: str, fflags: int = 0, data: int = 0, udata: int = 0) -> Any:
        """Make a kevent from names: change(sock, "READ", "ADD CLEAR")."""
        bits = functools.reduce(lambda bits, flag: bits | self.number(f"EV_{flag}"), flags.split(), 0)
        return self.impl.kevent(ident, self.number(f"EVFILT_{filter_}"), bits, fflags, data, udata)

    def trigger(self, ident: int, fflags: int = 0, udata: int = 0, flags: str = "") -> Any:
        return self.change(ident, "USER", flags, self.number("NOTE_TRIGGER") | fflags, 0, udata)

    # What it answers.

    def ask(self, kqueue: Any, *changes: Any, room: int = 16, wait_s: float = PATIENCE_S) -> str:
        """Make one call. Return its events, or its error, in a few letters."""
        try:
            return self.show(kqueue.control(changes or None, room, wait_s))
        except OSError as error:
            return f"raised {_name(error.errno)}"

    def look(self, kqueue: Any) -> str:
        """Do the same as ask() if there should be no event: wait only a short time."""
        return self.ask(kqueue, wait_s=NOTHING_S)

    def show(self, events: list[Any]) -> str:
        """R5: readable, 5 bytes. W+EOF(ECONNRESET): the write side has ended. R!ENOENT: an error entry. -: nothing."""
        return " ".join(sorted(map(self._show, events))) or "-"

    def _show(self, event: Any) -> str:
        letters = {
            self.abi[f"EVFILT_{name}"]: name[0]
            for name in ("READ", "WRITE", "USER", "TIMER")
            if f"EVFILT_{name}" in self.abi
        }
        letter = letters.get(event.filter, str(event.filter))
        if event.flags & self.abi["EV_ERROR"]:
            return f"{letter}!{_name(event.data)}"
        count = event.data if letter in "RT" else ""
        if not event.flags & self.abi["EV_EOF"]:
            return f"{letter}{count}"
        return f"{letter}{count}+EOF" + (f"({_name(event.fflags)})" if event.fflags else "")

    # What to ask about.

    def own(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        return self._leaving.enter_context(sock)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        one, other = socket.socketpair()
        return self.own(one), self.own(other)

    def listener(self) -> socket.socket:
        return self._leaving.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))

    def connect(self, listener: socket.socket) -> socket.socket:
        client = self.own(socket.create_connection(listener.getsockname(), PATIENCE_S))
        self.settle()
        return client

    def tcp(self) -> tuple[socket.socket, socket.socket]:
        listener = self.listener()
        one = self.connect(listener)
        return one, self.own(listener.accept()[0])

    def pipe(self) -> tuple[int, int]:
        """Return descriptor numbers: the caller closes them, or this object does."""
        ends = os.pipe()
        for fd in ends:
            self._leaving.callback(_close_number, fd)
        return ends

    @staticmethod
    def settle() -> None:
        """Wait until everything on the loopback has arrived: packets keep their order, so send one there and back."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname(), PATIENCE_S) as one, listener.accept()[0] as other:
                for here, there in ((one, other), (other, one)):
                    here.sendall(b"x")
                    there.recv(1)


def _name(number: int | None) -> str:
    return errno.errorcode.get(number, str(number)) if number else "0"


def _close_number(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


def reset(sock: socket.socket) -> None:
    """Close it so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    Kernel.settle()


def renumbered(sock: socket.socket, number: int) -> socket.socket:
    """Return the same socket with another, free descriptor."""
    if sock.fileno() == number:
        return sock
    os.dup2(sock.fileno(), number)
    sock.close()
    return socket.socket(fileno=number)


def so_error(sock: socket.socket) -> str:
    return _name(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


# Who is asked.

_SYSTEMS = {"darwin": "macos", "freebsd": "freebsd", "dragonfly": "freebsd", "netbsd": "netbsd", "openbsd": "openbsd"}


def kernels() -> list[str]:
    """Return the system's own kqueue if it has one; else the two flavors of the simulator."""
    if hasattr(select, "kqueue"):
        return ["select"]
    return ["freebsd", "macos"] if hasattr(select, "epoll") else []


@contextlib.contextmanager
def kernel(name: str) -> Iterator[Kernel]:
    with contextlib.ExitStack() as leaving:
        if name == "select":
            system = next(ours for prefix, ours in _SYSTEMS.items() if sys.platform.startswith(prefix))
            yield Kernel(name, select, system, leaving)
        else:
            yield Kernel(name, simulator(name), name, leaving)


# What was answered.


@dataclass(frozen=True)
class Record:
    """The answers to one question. `documented` is from the man pages, if FreeBSD's code could not be asked.

    `netbsd` and `macos` are given if they differ from FreeBSD's, and `simulator` if ours does, with the reason.
    """

    question: str
    freebsd: str | None = None
    documented: str | None = None
    netbsd: str | None = None
    macos: str | None = None
    simulator: str | None = None
    because: str = ""

    def expected(self, kernel: Kernel) -> str:
        answers = [self.freebsd, self.documented]
        if kernel.name != "select":
            answers.insert(0, self.simulator)
        answers.insert(0, {"macos": self.macos, "netbsd": self.netbsd}.get(kernel.system))
        return next(answer for answer in answers if answer is not None)


RECORDS: dict[str, Record] = {}


def answered(
    freebsd: str | None = None, **others: str
) -> Callable[[Callable[[Kernel], str]], Callable[[Kernel], None]]:
    """Make a test from a question, which returns the answer it got, and the expected answers."""

    def made(question: Callable[[Kernel], str]) -> Callable[[Kernel], None]:
        record = RECORDS[question.__name__] = Record(question.__name__, freebsd, **others)

        def test(kernel: Kernel) -> None:
            answer, expected = question(kernel), record.expected(kernel)
            assert answer == expected, f"{kernel.name} answers {answer!r}, and not {expected!r}"

        test.__name__ = question.__name__
        test.__doc__ = question.__doc__
        return test

    return made
