"""Descriptors that are closed, duplicated and reused; kqueues that are closed, and processes that fork."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from .asked import Kernel, answered, renumbered


def reuse(k: Kernel, number: int) -> tuple[socket.socket, socket.socket]:
    """Return a new pair whose first socket has a number that was just closed."""
    one, other = socket.socketpair()
    if other.fileno() == number:
        one, other = other, one
    return k.own(renumbered(one, number)), k.own(other)


@answered("- R!EBADF", macos="- R!ENOENT")
def test_close_drops_the_filters(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    delete = k.change(one, "READ", "DELETE")
    other.send(b"x")
    one.close()
    return f"{k.look(kq)} {k.ask(kq, delete, room=1)}"


@answered("- R!ENOENT")
def test_a_number_used_again_is_not_registered(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    number = one.fileno()
    one.close()
    newcomer, peer = reuse(k, number)
    peer.send(b"x")
    return f"{k.look(kq)} {k.ask(kq, k.change(newcomer, 'READ', 'DELETE'), room=1)}"


@answered("R1, deleted, -")
def test_a_number_used_again_can_be_registered(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD", udata=1))
    number = one.fileno()
    one.close()
    newcomer, peer = reuse(k, number)
    peer.send(b"x")
    seen = k.ask(kq, k.change(newcomer, "READ", "ADD", udata=2))
    deleted = k.ask(kq, k.change(newcomer, "READ", "DELETE"), room=0).replace("-", "deleted")
    return f"{seen}, {deleted}, {k.look(kq)}"


@answered("-")
def test_the_number_that_was_registered_is_closed_and_a_duplicate_lives(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    k.own(one.dup())
    one.close()
    other.send(b"x")
    return k.look(kq)


@answered("2 events")
def test_both_numbers_of_a_duplicated_socket(k: Kernel) -> str:
    one, other = k.pair()
    duplicate = k.own(one.dup())
    other.send(b"x")
    kq = k.kqueue()
    return f"{len(kq.control([k.change(one, 'READ', 'ADD'), k.change(duplicate, 'READ', 'ADD')], 9, 5))} events"


@answered("-")
def test_dup2_over_a_registered_number(k: Kernel) -> str:
    one, _ = k.pair()
    stranger, peer = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    os.dup2(stranger.fileno(), one.fileno())
    peer.send(b"x")
    return k.look(kq)


@answered("slept on, -")
def test_a_descriptor_closed_while_another_os_thread_waits(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    return _waiting(k, kq, one.close)


@answered(
    "woken, raised EBADF",
    netbsd="slept on, -",
    simulator="slept on, raised EBADF",
    because="nobody promises anything, and epoll does not wake its sleepers",
)
def test_a_kqueue_closed_while_another_os_thread_waits(k: Kernel) -> str:
    if k.system not in ("freebsd", "netbsd") and k.name == "select":
        pytest.skip("there is no recorded answer, and no system promises anything")
    kq = k.kqueue()
    return _waiting(k, kq, kq.close)


def _waiting(k: Kernel, kq: Any, act: Callable[[], None]) -> str:
    """Return what a waiting OS thread sees while `act` is done."""
    limit_s = 0.3
    answers: list[str] = []

    def wait() -> None:
        begun = monotonic()
        answer = k.ask(kq, room=4, wait_s=limit_s)
        answers.append(f"{'slept on' if monotonic() - begun >= limit_s else 'woken'}, {answer}")

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.1)  # long enough to be in the call; if it is not, it sees the same
    act()
    waiter.join()
    return answers[0]


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@forks
@answered(documented="EBADF")
def test_no_kqueue_in_a_forked_child(k: Kernel) -> str:
    return _in_child(k, k.kqueue())


@forks
@answered(documented="U")
def test_after_a_fork_the_parents_goes_on(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD CLEAR"))
    _in_child(k, kq)
    kq.control([k.trigger(1)], 0)
    return k.ask(kq)


def _in_child(k: Kernel, kq: Any) -> str:
    """Return what happens to the descriptor in a forked child."""
    reader, writer = k.pipe()
    fd = kq.fileno()
    pid = os.fork()
    if pid == 0:
        try:
            os.fstat(fd)
            os.write(writer, b"still there")
        except OSError:
            os.write(writer, b"EBADF")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reader, 100).decode()
