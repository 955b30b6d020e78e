"""serve() and signals: in any OS thread, for any number of servers, and at any time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import pytest

import socket2
from socket2 import Server, newthread, run, serve, sleep
from socket2.servers.listeners import listen_at
from socket2.threads import catching as signals
from socket2.threads.member import current_member

from ..interop.peers import LIMIT_S, ROOT, Program, beside, connect
from .test_server import echo, handlers_are_put_back, until
from .test_workers import until_refused

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM here")

TERM = partial(signal.raise_signal, signal.SIGTERM)


@pytest.fixture(autouse=True)
def signals_are_as_they_were() -> Iterator[None]:
    caught = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    with handlers_are_put_back(*caught):
        yield
    assert not signals._previous
    assert not any(signals._catching.values())


# Several OS threads.

MEMBERS = """
import os, signal, sys, threading
import socket2

def handler(conn):
    while data := (yield from conn.recv(100)):
        yield from conn.sendall(data)

def ready(server):
    print("listening on %s:%d" % server.addresses[0], flush=True)

def wander():  # until another OS thread than the main one runs this
    while threading.current_thread() is threading.main_thread():
        busy = socket2.newthread(block)
        yield from socket2.sleep(0.001)
    return (yield from socket2.serve(handler, "127.0.0.1", 0, ready=ready))

def block():
    yield from socket2.sleep(0)
    if threading.current_thread() is threading.main_thread():
        threading.Event().wait(0.02)

serving = socket2.newthread(wander)
socket2.serve_threads(4)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGTERM)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("cut", serving.result(), flush=True)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_what_any_of_several_os_threads_has_begun(signum: signal.Signals) -> None:
    with Program([sys.executable, "-W", "error", "-c", MEMBERS], env={"PYTHONPATH": str(ROOT)}) as program:
        port = program.port()
        with connect("127.0.0.1", port) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
            program.send_signal(signum)
            until_refused(port)
            sock.sendall(b"again")
            assert sock.recv(100) == b"again"
        assert program.wait() == 0, program.stderr().decode()
        assert program.stdout().endswith(b"cut 0\n")
        assert program.stderr() == b""


def test_where_the_main_os_thread_runs_no_loop_it_is_refused_before_anything_is_served() -> None:
    def main() -> Steps:
        readied: list[Server] = []
        with pytest.raises(RuntimeError, match=r"main OS thread.*signals=\(\)"):
            yield from serve(echo, "127.0.0.1", ready=readied.append)
        assert not readied
        assert (yield from serve(echo, "127.0.0.1", signals=(), ready=lambda server: server.stop())) == 0

    def elsewhere() -> None:
        run(main)
        current_member().close()

    with beside(elsewhere):
        pass


@pytest.mark.parametrize("comes", [True, False])
def test_the_main_os_thread_may_come_later_than_the_others(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "COMES_S", LIMIT_S if comes else 0.02)
    try:
        fd = socket2.epoll_fd()
    except OSError:
        pytest.skip("joins by the descriptor of epoll")
    asks = threading.Event()
    outcomes: list[Any] = []

    def serves() -> Steps:
        asks.set()
        try:
            outcomes.append((yield from serve(echo, "127.0.0.1", ready=lambda server: TERM())))
        except RuntimeError as error:
            outcomes.append(str(error))

    def guest() -> None:
        socket2.epoll_fd(fd)
        newthread(serves)
        socket2.start()

    with beside(guest) as other:
        assert asks.wait(LIMIT_S)
        if not comes:
            other.join(LIMIT_S)
        socket2.start()
    assert outcomes == [0] if comes else "main OS thread" in outcomes[0]


def test_another_loop_than_the_main_os_threads_is_stopped_by_a_signal() -> None:
    """The main OS thread has a loop of its own, which runs the handlers."""
    listening = threading.Event()
    over: list[int] = []

    def elsewhere() -> None:
        over.append(run(lambda: serve(echo, "127.0.0.1", ready=lambda server: listening.set())))
        current_member().close()

    def main() -> Steps:
        with beside(elsewhere):
            yield from until(listening.is_set)
            TERM()
            yield from until(lambda: bool(over))

    run(main)
    assert over == [0]


def test_who_is_cancelled_before_the_handlers_are_there_leaves_none() -> None:
    """Another OS thread asks the main one, which is busy and gets to it when nobody needs it any more."""
    asked, go_on = threading.Event(), threading.Event()

    def elsewhere() -> None:
        def asks() -> Steps:
            serving = newthread(serve(echo, "127.0.0.1"))
            asked.set()
            serving.cancel()
            with pytest.raises(socket2.Cancelled):
                yield from serving.join()
            go_on.set()

        run(asks)
        current_member().close()

    def main() -> Steps:
        with beside(elsewhere):
            assert asked.wait(LIMIT_S)
            assert go_on.wait(LIMIT_S)
        yield from sleep(0.001)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    run(main)


# Several serve() in one program.


def test_a_signal_stops_every_serve_that_catches_it() -> None:
    servers: list[Server] = []

    def both() -> Steps:
        app = newthread(serve(echo, "127.0.0.1", ready=servers.append))
        metrics = newthread(serve(echo, "127.0.0.1", ready=servers.append))
        other = newthread(serve(echo, "127.0.0.1", signals=[signal.SIGUSR2], ready=servers.append))
        yield from until(lambda: len(servers) == 3)
        TERM()
        assert (yield from app.join()) == (yield from metrics.join()) == 0
        assert not servers[2].stopping.is_set()
        signal.raise_signal(signal.SIGUSR2)
        assert (yield from other.join()) == 0

    run(both)


def test_the_first_to_end_takes_no_handler_from_the_others() -> None:
    servers: list[Server] = []

    def both() -> Steps:
        first = newthread(serve(echo, "127.0.0.1", ready=servers.append))
        second = newthread(serve(echo, "127.0.0.1", ready=servers.append))
        yield from until(lambda: len(servers) == 2)
        yield from servers[0].stop()
        yield from first.join()
        TERM()
        assert (yield from second.join()) == 0

    run(both)


def test_a_handler_that_was_installed_meanwhile_stays() -> None:
    def mine(signum: int, frame: Any) -> None: ...

    def ready(server: Server) -> Steps:
        signal.signal(signal.SIGTERM, mine)
        yield from server.stop()

    try:
        run(lambda: serve(echo, "127.0.0.1", ready=ready))
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_ctrl_c_outside_the_loop_is_pythons_again() -> None:
    """serve() continues after one run(), or starts before another one and ends in it."""
    servers: list[Server] = []

    def begin() -> Steps:
        newthread(serve(echo, "127.0.0.1", ready=servers.append))
        yield from until(lambda: bool(servers))

    run(begin)
    run(servers[0].stop)
    socket2.start()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    serving = newthread(serve(echo, "127.0.0.1", ready=servers.append))
    run(servers[1].stop)
    socket2.start()
    assert serving.result() == 0


def test_a_signal_that_cannot_be_caught() -> None:
    with pytest.raises((OSError, ValueError)):
        run(lambda: serve(echo, "127.0.0.1", signals=[signal.SIGTERM, signal.SIGKILL]))


# When it comes.


def test_a_signal_before_it_listens_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = listen_at
    readied: list[Server] = []

    def interrupted(*args: Any) -> Steps:
        TERM()
        yield from sleep(0.01)
        return (yield from real(*args))

    monkeypatch.setattr("socket2.servers.server.listen_at", interrupted)
    assert run(lambda: serve(echo, "localhost", ready=readied.append)) == 0
    assert not readied


def test_signals_in_a_row_stop_it_once() -> None:
    def ready(server: Server) -> None:
        for _ in range(5):
            TERM()

    assert run(lambda: serve(echo, "127.0.0.1", ready=ready)) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal here")
def test_another_signal_than_those_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGHUP)

    def ready(server: Server) -> Steps:
        assert signal.getsignal(signal.SIGHUP) == before
        yield from server.stop()

    run(lambda: serve(echo, "127.0.0.1", ready=ready))


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="all signals have names here")
def test_a_signal_without_a_name() -> None:
    signum = signal.SIGRTMIN + 3
    previous = signal.getsignal(signum)
    assert (
        run(lambda: serve(echo, "127.0.0.1", signals=[signum], ready=lambda server: signal.raise_signal(signum))) == 0
    )
    assert signal.getsignal(signum) == previous


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_be_ended_by_the_signals_that_its_parent_catches() -> None:
    def ready(server: Server) -> Steps:
        child = os.fork()
        if child == 0:
            as_before = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            os._exit(0 if as_before and signal.getsignal(signal.SIGINT) is signal.default_int_handler else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        yield from server.stop()

    run(lambda: serve(echo, "127.0.0.1", ready=ready))
