"""What Python's own layer does with arguments. The answers are from CPython's selectmodule.c."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kqueue_sim import Faults, simulator

from .asked import Kernel

Ask = Callable[[Any, Any], object]  # the module and a kqueue


def _closed_socket() -> socket.socket:
    sock = socket.socket()
    sock.close()
    return sock


_NO_NUMBER = "timeout argument must be a number or None, got"
_NEGATIVE = "timeout must be positive or None"
_NO_IDENT = "argument must be an int, or have a fileno() method."
_CLOSED = "I/O operation on closed kqueue object"

REFUSED: dict[str, tuple[Ask, type[Exception], str]] = {
    "infinite timeout": (lambda m, kq: kq.control(None, 1, math.inf), TypeError, f"{_NO_NUMBER} float"),
    "timeout nan": (lambda m, kq: kq.control(None, 1, math.nan), TypeError, f"{_NO_NUMBER} float"),
    "timeout beyond 2**63 ns": (lambda m, kq: kq.control(None, 1, 1e10), TypeError, f"{_NO_NUMBER} float"),
    "timeout as text": (lambda m, kq: kq.control(None, 1, "x"), TypeError, f"{_NO_NUMBER} str"),
    "negative timeout": (lambda m, kq: kq.control(None, 1, -1), ValueError, _NEGATIVE),
    "tiny negative timeout": (lambda m, kq: kq.control(None, 1, -1e-12), ValueError, _NEGATIVE),
    "negative maxevents": (
        lambda m, kq: kq.control(None, -1),
        ValueError,
        "Length of eventlist must be 0 or positive, got -1",
    ),
    "maxevents 2**31": (lambda m, kq: kq.control(None, 1 << 31, 0), OverflowError, ""),
    "keywords": (lambda m, kq: kq.control(changelist=None, maxevents=1), TypeError, ""),
    "no kevents": (
        lambda m, kq: kq.control([1], 0),
        TypeError,
        "changelist must be an iterable of select.kevent objects",
    ),
    "no iterable": (lambda m, kq: kq.control(5, 0), TypeError, "changelist is not iterable"),
    "ident -1": (lambda m, kq: m.kevent(-1), OverflowError, ""),
    "closed socket": (
        lambda m, kq: m.kevent(_closed_socket()),
        ValueError,
        "file descriptor cannot be a negative integer (-1)",
    ),
    "ident as text": (lambda m, kq: m.kevent("x"), TypeError, _NO_IDENT),
    "ident as float": (lambda m, kq: m.kevent(1.5), TypeError, _NO_IDENT),
    "udata as object": (lambda m, kq: m.kevent(1, udata=object()), TypeError, ""),
    "filter of 17 bits": (lambda m, kq: m.kevent(1, filter=40000), OverflowError, ""),
    "data of 65 bits": (lambda m, kq: m.kevent(1, data=1 << 63), OverflowError, ""),
    "hash": (lambda m, kq: hash(m.kevent(1)), TypeError, ""),
    "control when closed": (lambda m, kq: (kq.close(), kq.control(None, 1, 0)), ValueError, _CLOSED),
    "fileno when closed": (lambda m, kq: (kq.close(), kq.fileno()), ValueError, _CLOSED),
}

RETURNED: dict[str, tuple[Ask, object]] = {
    "udata -1": (lambda m, kq: m.kevent(1, udata=-1).udata, 2**64 - 1),
    "udata wraps": (lambda m, kq: m.kevent(1, udata=(1 << 64) + 5).udata, 5),
    "flags wrap": (lambda m, kq: m.kevent(1, flags=0x10001).flags, 1),
    "fflags wrap": (lambda m, kq: m.kevent(1, fflags=1 << 32).fflags, 0),
    "repr": (
        lambda m, kq: repr(m.kevent(1, -1, 1, 0, -1, 5)),
        "<select.kevent ident=1 filter=-1 flags=0x1 fflags=0x0 data=0xffffffffffffffff udata=0x5>",
    ),
    "no with": (lambda m, kq: hasattr(kq, "__enter__"), False),
    "nothing to do": (lambda m, kq: kq.control(None, 0), []),
    "an iterator of changes": (lambda m, kq: kq.control(iter(()), 0), []),
    "closed twice": (lambda m, kq: (kq.close(), kq.close()), (None, None)),
    "closed": (lambda m, kq: (kq.closed, kq.close(), kq.closed), (False, None, True)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(kernel: Kernel, case: str) -> None:
    ask, error, message = REFUSED[case]
    with pytest.raises(error) as raised:
        ask(kernel.impl, kernel.kqueue())
    assert not message or str(raised.value) == message


@pytest.mark.parametrize("case", RETURNED)
def test_returned(kernel: Kernel, case: str) -> None:
    ask, value = RETURNED[case]
    assert ask(kernel.impl, kernel.kqueue()) == value


def test_a_program_that_is_executed_does_not_inherit_it(kernel: Kernel) -> None:
    assert not os.get_inheritable(kernel.kqueue().fileno())


def test_a_dropped_kqueue_closes_its_descriptor(kernel: Kernel) -> None:
    kqueue = kernel.impl.kqueue()
    fd = kqueue.fileno()
    del kqueue
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_after_a_signal_the_changes_are_handed_in_again(kernel: Kernel) -> None:
    """If EV_DELETE goes together with a wait, it is an error the second time, which hides the events."""
    one, other = kernel.pair()
    one.send(b"x")
    with signals_often() if kernel.name == "select" else contextlib.nullcontext():
        impl = kernel.impl if kernel.name == "select" else simulator(kernel.name, Faults(interrupted=True))
        kq = impl.kqueue()
        kq.control([kernel.change(other, "READ", "ADD")], 0)
        seen = kernel.ask(kq, kernel.change(other, "READ", "DELETE"), wait_s=1)
        kq.close()
    assert seen == "R!ENOENT"


@contextlib.contextmanager
def signals_often() -> Iterator[None]:
    previous = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_objects_in_a_forked_child(kernel: Kernel) -> None:
    """They are closed since Python 3.12.1. Before that, the number dangles."""
    kq = kernel.kqueue()
    pid = os.fork()
    if pid == 0:
        os._exit(10 + kq.closed)
    closed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) - 10
    assert closed == (sys.version_info >= (3, 12, 1))
    assert not kq.closed
