"""Worker processes: separate programs, seen from outside. tests/test_examples.py tests examples/worker_server.py."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

import socket2
from pollers import STREAK_MAX
from socket2 import run
from socket2.servers.staff import LEAVE, LEAVING, READY
from socket2.servers.workers import _Orders
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, ROOT, Program, connect, receive_all, receive_exactly

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)

# A server that greets, and obeys the one byte that a client sends.
SERVER = """
import os, signal, socket, sys
import socket2

def handler(conn):
    yield from conn.sendall(b"%d\\n" % os.getpid())
    while order := (yield from conn.recv(1)):
        if order == b"x":
            os._exit(7)
        if order == b"l":
            order = b"%d\\n" % sum(map(listens, range(1000)))
        if order == b"e":
            raise ValueError("of a handler")
        if order == b"h":
            try:
                yield from socket2.suspend()
            finally:
                yield from conn.sendall(b"cut")
        yield from conn.sendall(order)

def listens(fd):
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        return False

def ready(workers):
    def tell(*_):  # not by print(): that is refused while one is interrupted
        os.write(1, "now {} end\\n".format(" ".join(map(str, workers.pids))).encode())

    signal.signal(signal.SIGUSR1, tell)
    print("pids", *workers.pids, flush=True)
    print("listening on %s:%d" % workers.addresses[0][:2], flush=True)

def serve(**options):
    print("unflushed", end=" ")
    before = [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    cut = socket2.serve_workers(handler, "127.0.0.1", ready=ready, **options)
    assert before == [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    assert signal.set_wakeup_fd(-1) == -1
    print("cut", cut, flush=True)
"""


@contextmanager
def server(options: str, before: str = "") -> Iterator[tuple[Program, list[int], int]]:
    """Run the server. Yields the program, its workers' process ids and the port."""
    program = f"{before}\n{SERVER}\nserve({options})"
    with Program([sys.executable, "-W", "error", "-c", program], env={"PYTHONPATH": str(ROOT)}) as running:
        pids = [int(pid) for pid in running.announced(r"pids ([\d ]+)$")[1].split()]
        yield running, pids, running.port()


def greeted(port: int) -> tuple[socket.socket, int]:
    """Connect. Return the socket and the worker's process id."""
    sock = connect("127.0.0.1", port)
    try:
        return sock, int(receive_line(sock))
    except BaseException:
        sock.close()
        raise


def until_refused(port: int) -> None:
    while True:
        try:
            connect("127.0.0.1", port).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # the listener was closed while this client was in its queue


def receive_line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = receive_exactly(sock, 1)
        if not byte:
            raise ConnectionError(f"closed after {line!r}")
        line += byte
    return line


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ends(program: Program, cut: int) -> None:
    assert program.wait() == 0, program.stderr().decode()
    assert re.search(rb"cut (\d+)\n", program.stdout())[1] == b"%d" % cut  # type: ignore[index]
    assert program.stdout().count(b"unflushed") == 1


def test_workers_serve_and_stop_and_leave_nothing() -> None:
    with server("workers=3") as (program, pids, port):
        assert len(set(pids)) == 3
        for _ in range(10):
            sock, pid = greeted(port)
            assert pid in pids
            sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert program.stderr() == b""
        assert not any(is_alive(pid) for pid in pids)


def test_who_does_not_end_in_the_grace_is_cut_off_and_counted() -> None:
    with server("workers=2, grace_s=0.05") as (program, _, port):
        hanging = [greeted(port)[0] for _ in range(5)]
        for sock in hanging:
            sock.sendall(b"h")
        others = [greeted(port)[0] for _ in range(3)]  # they wait for a command
        program.send_signal(signal.SIGTERM)
        ends(program, cut=8)
        for sock in hanging:
            assert receive_all(sock) == b"cut"
            sock.close()
        for sock in others:
            assert receive_all(sock) == b""
            sock.close()


@pytest.mark.parametrize("grace", ["1000", "1e8", "float('inf')"])
def test_a_second_signal_cuts_at_once(grace: str) -> None:
    with server(f"workers=2, grace_s={grace}") as (program, _, port):
        socks = [greeted(port)[0] for _ in range(4)]
        program.send_signal(signal.SIGTERM)
        until_refused(port)
        program.send_signal(signal.SIGTERM)
        ends(program, cut=4)
        for sock in socks:
            assert receive_all(sock) == b""
            sock.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_is_one_request_to_stop(signum: signal.Signals) -> None:
    """This happens by Ctrl-C in a terminal, and by SIGTERM if systemd sends it to a control group."""
    with server("workers=2, grace_s=1000") as (program, pids, port):
        sock, _ = greeted(port)
        os.killpg(program.pid, signum)
        until_refused(port)
        sock.sendall(b"a")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b"a"
        sock.close()
        ends(program, cut=0)
        assert program.stderr() == b""
        assert not any(is_alive(pid) for pid in pids)


def test_a_worker_tells_one_thing_after_the_other() -> None:
    """After many operations without a wait a send yields first. Two sends would then collide."""
    stops: list[float] = []

    def stop(grace_s: float) -> Generator[Any, None, None]:
        stops.append(grace_s)
        yield from socket2.sleep(0)

    async def main() -> None:
        supervisor, its = socket.socketpair()
        with socket2.TCP(its, None, "the test") as line, supervisor:
            supervisor.settimeout(LIMIT_S)
            orders: Any = _Orders(line, 0, 5, True)
            stub = SimpleNamespace(stop=stop, leaving=socket2.Event())
            supervisor.sendall(LEAVE)
            supervisor.shutdown(socket.SHUT_WR)
            current_scheduler().poller.streak = STREAK_MAX
            threads = [socket2.newthread(orders._leave, stub), socket2.newthread(orders.obey, stub)]
            for thread in threads:
                await thread.join()
            assert receive_exactly(supervisor, 2) == LEAVING + READY
        assert stops == [5]

    run(main)


def test_a_worker_that_dies_is_replaced_again_and_again() -> None:
    with server("workers=1") as (program, pids, port):
        seen = set(pids)
        for _ in range(3):
            sock, pid = until_greeted(port)
            seen.add(pid)
            sock.sendall(b"x")
            assert sock.recv(1) == b""
            sock.close()
        sock, pid = until_greeted(port)
        sock.close()
        seen.add(pid)
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert len(seen) == 4
        assert program.stderr().count(b"exited with status 7; starting another in") == 3


def until_greeted(port: int) -> tuple[socket.socket, int]:
    """Retry until a worker greets: while a single worker is replaced, nobody listens."""
    begun = monotonic()
    while monotonic() - begun < LIMIT_S:
        try:
            return greeted(port)
        except ConnectionError:
            pass
    pytest.fail("nobody serves any more")


def test_a_handler_that_crashes_does_not_take_its_worker_along() -> None:
    with server("workers=1") as (program, pids, port):
        sock, pid = greeted(port)
        sock.sendall(b"e")
        assert receive_all(sock) == b""
        sock.close()
        sock, again = greeted(port)
        assert again == pid == pids[0]
        sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        program.complains(b"ValueError: of a handler")


def test_workers_end_gracefully_when_their_supervisor_is_killed() -> None:
    with server("workers=2") as (program, _, port):
        sock, _ = greeted(port)
        program.send_signal(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL
        until_refused(port)
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        sock.close()
        assert program.output_ended(), "the workers hold it for as long as they live"


def test_workers_share_an_inherited_listener() -> None:
    before = """
import os, socket
sock = socket.create_server(("127.0.0.1", 0))
os.dup2(sock.fileno(), 3)
if sock.fileno() != 3:
    sock.close()
else:
    sock.detach()
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
"""
    with server("workers=2, listeners=socket2.inherited_listeners()", before) as (program, pids, port):
        for _ in range(5):
            sock, pid = greeted(port)
            assert pid in pids
            sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert program.stderr() == b""
