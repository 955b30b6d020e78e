"""Worker processes that are renewed while clients are served."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from time import monotonic

import pytest

import socket2
from socket2 import serve_workers
from socket2.servers.supervisor import Workers

from ..interop.peers import LIMIT_S, ROOT, Program, connect, receive_all
from .test_workers import ends, greeted, receive_line, server, until_greeted

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)


# Renewing them.


def pids_now(program: Program) -> list[int]:
    """Ask the supervisor. Two requests may be merged into one."""
    told = program.stdout().count(b"now")
    program.send_signal(signal.SIGUSR1)
    begun = monotonic()
    while program.stdout().count(b"now") <= told or not program.stdout().endswith(b"end\n"):
        assert monotonic() - begun < LIMIT_S
    line = program.stdout().rpartition(b"now")[2]
    return [int(pid) for pid in line.split()[:-1]]


def replaced(program: Program, pid: int, count: int) -> list[int]:
    """Wait until the supervisor has replaced this worker."""
    begun = monotonic()
    while monotonic() - begun < LIMIT_S:
        pids = pids_now(program)
        if pid not in pids and len(pids) == count:
            return pids
    pytest.fail(f"worker {pid} is not replaced: {program.stderr().decode()}")


class Load:
    """Clients that connect again and again, each with one request, until they are stopped."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._over = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _client(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = greeted(self._port)
                with sock:
                    sock.sendall(b"a")
                    sock.shutdown(socket.SHUT_WR)
                    assert receive_all(sock) == b"a"
                self.answered += 1
            except Exception as error:
                self.failures.append(repr(error))

    def wait_for(self, more: int) -> None:
        begun, before = monotonic(), self.answered
        while self.answered < before + more and monotonic() - begun < LIMIT_S:
            self._over.wait(0.001)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT_S)


def test_renewing_all_workers_again_and_again_under_load_loses_nothing() -> None:
    with server("workers=3, backlog=64") as (program, pids, port):
        load = Load(port, 12)
        try:
            for _ in range(4):
                for pid in pids:
                    os.kill(pid, signal.SIGTERM)
                    pids = replaced(program, pid, 3)
                load.wait_for(20)
        finally:
            load.end()
        assert not load.failures
        assert load.answered > 80
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert program.stderr() == b""


def test_workers_that_are_renewed_in_quick_succession_are_all_there_at_once() -> None:
    """A worker that is told to leave has not failed, however young it is."""
    with server("workers=2") as (program, pids, port):
        for _ in range(12):
            pid = pids[0]
            os.kill(pid, signal.SIGTERM)
            pids = replaced(program, pid, 2)
        begun = monotonic()
        seen = set[int]()
        while len(seen & set(pids)) < 2 and monotonic() - begun < LIMIT_S:
            sock, pid = greeted(port)
            seen.add(pid)
            sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert program.stderr() == b""  # neither a warning nor a pause


def test_who_is_being_answered_by_a_worker_that_leaves_is_answered_while_its_successor_serves() -> None:
    with server("workers=1, grace_s=1000") as (program, _, port):
        old, pid = greeted(port)
        os.kill(pid, signal.SIGTERM)
        replaced(program, pid, 1)
        new, successor = greeted(port)
        assert successor != pid
        for sock in (new, old):
            sock.sendall(b"a")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"a"
            sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)


def test_a_worker_that_is_told_twice_to_leave_cuts() -> None:
    with server("workers=1, grace_s=1000") as (program, _, port):
        sock, pid = greeted(port)
        os.kill(pid, signal.SIGTERM)
        replaced(program, pid, 1)
        os.kill(pid, signal.SIGTERM)
        assert receive_all(sock) == b""
        sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=1)


def test_who_waits_in_the_queue_of_a_worker_that_is_killed_is_served_by_the_next() -> None:
    with server("workers=1") as (program, pids, port):
        os.kill(pids[0], signal.SIGSTOP)
        waiting = connect("127.0.0.1", port)
        os.kill(pids[0], signal.SIGKILL)
        assert int(receive_line(waiting)) != pids[0]
        waiting.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="all signals have names here")
def test_a_worker_that_is_ended_by_a_signal_without_a_name_is_replaced() -> None:
    with server("workers=1") as (program, pids, port):
        os.kill(pids[0], signal.SIGRTMIN + 3)
        replaced(program, pids[0], 1)
        greeted(port)[0].close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
        assert f"was killed by signal {signal.SIGRTMIN + 3}".encode() in program.stderr()


def test_who_waits_while_a_worker_is_missing_is_served_when_all_stops() -> None:
    """The worker has died so often that the next one is only started after seconds."""
    with server("workers=1") as (program, _, port):
        for _ in range(6):
            sock, _ = until_greeted(port)
            sock.sendall(b"x")
            assert sock.recv(1) == b""
            sock.close()
        waiting = connect("127.0.0.1", port)
        program.send_signal(signal.SIGTERM)
        assert int(receive_line(waiting))
        waiting.sendall(b"a")
        waiting.shutdown(socket.SHUT_WR)
        assert receive_all(waiting) == b"a"
        waiting.close()
        ends(program, cut=0)


def test_a_worker_has_its_own_listener_and_nobody_elses() -> None:
    with server("workers=3") as (program, _, port):
        sock, _ = greeted(port)
        sock.sendall(b"l")
        assert receive_line(sock) == b"1\n"
        sock.close()
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)


def test_descriptors_above_1023() -> None:
    before = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
"""
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        pytest.skip("so many are not allowed here")
    with server("workers=2", before) as (program, _, port):
        sock, pid = greeted(port)
        sock.close()
        os.kill(pid, signal.SIGKILL)
        replaced(program, pid, 2)
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)


def test_no_debug_socket_is_left_behind(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = f"import os; os.environ.update(SOCKET2_DEBUG='1', SOCKET2_DEBUG_DIR={str(tmp_path)!r})"
    with server("workers=2", before) as (program, pids, port):
        for pid in pids:
            while not (tmp_path / str(pid)).exists():
                greeted(port)[0].close()
        os.kill(pids[0], signal.SIGKILL)
        replaced(program, pids[0], 2)
        assert not (tmp_path / str(pids[0])).exists()
        os.kill(pids[1], signal.SIGTERM)
        replaced(program, pids[1], 2)
        program.send_signal(signal.SIGTERM)
        ends(program, cut=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets here")
def test_workers_on_a_unix_path(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    program = f"""
import os, signal, socket2
def handler(conn):
    yield from conn.sendall(b"%d" % os.getpid())
def ready(workers):
    print("pids", *workers.pids, flush=True)
socket2.serve_workers(handler, {path!r}, workers=2, ready=ready)
"""
    with Program([sys.executable, "-W", "error", "-c", program], env={"PYTHONPATH": str(ROOT)}) as running:
        pids = [int(pid) for pid in running.announced(r"pids ([\d ]+)$")[1].split()]
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(LIMIT_S)
                sock.connect(path)
                assert int(receive_all(sock)) in pids
        running.send_signal(signal.SIGTERM)
        assert running.wait() == 0
        assert running.stderr() == b""


def test_ready_is_a_plain_function() -> None:
    async def ready(workers: Workers) -> None: ...

    def handler(conn: socket2.TCP) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        serve_workers(handler, "127.0.0.1", ready=ready)
    with pytest.raises(TypeError, match="plain function"):
        serve_workers(handler, "127.0.0.1", workers=1, ready=lambda workers: ready(workers))
