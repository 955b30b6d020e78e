"""Worker processes: separate programs, seen from outside. tests/test_examples.py tests examples/worker_server.py."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

import socket2
from pollers import STREAK_MAX
from socket2 import run, serve_workers
from socket2.servers.inheritance import Places
from socket2.servers.supervisor import LEAVE, LEAVING, READY, Workers
from socket2.servers.workers import _Orders
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, ROOT, Program, beside, connect, receive_all, receive_exactly

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
    signal.signal(signal.SIGUSR1, lambda *_: print("now", *workers.pids, "end", flush=True))
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
            orders: Any = _Orders(line, 5, True)
            stub = SimpleNamespace(stop=stop)
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


# What the supervisor decides.


def test_a_worker_that_cannot_serve_is_tried_again_after_longer_and_longer_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """This tests only the arithmetic of the supervisor; nothing is forked."""
    workers = Workers(lambda its, listeners: None, 2, [], 1)
    try:
        pauses = [workers._put_off(0) for _ in range(12)]
        assert pauses[:5] == [0, 0.1, 0.2, 0.4, 0.8]
        assert pauses[-1] == 30
        assert workers._put_off(1) == 0
        workers._failures[0] = 5000  # it has died again and again for days
        assert workers._put_off(0) == 30
    finally:
        workers._wake_receiver.close()
        workers._wake_sender.close()


def test_clients_are_not_left_to_wait_for_a_worker_that_keeps_dying_if_there_are_others() -> None:
    first = socket2.tcp()
    first.setopt("reuseport", True)
    first.listen("127.0.0.1")
    address = first.getsockname()
    places = Places([first], 2, None)
    workers = Workers(lambda its, listeners: None, 2, [address], 1, places)
    try:
        for _ in range(6):
            workers._put_off(0)
        assert len(places.of(0)) == len(places.of(1)) == 1  # nobody else is there
        workers._workers[1] = SimpleNamespace(ready=True)  # type: ignore[assignment]
        workers._put_off(0)
        assert (len(places.of(0)), len(places.of(1))) == (0, 1)
        connect(*address).close()
        places.open(0)
        assert places.of(0)[0].getsockname() == address
    finally:
        places.close_all()
        workers._wake_receiver.close()
        workers._wake_sender.close()


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    def fork() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", fork)
    with caplog.at_level(logging.ERROR, logger="socket2"):
        assert serve_workers(lambda conn: None, "127.0.0.1", workers=1) == 0
    assert attempts == 3
    assert "cannot start worker" in caplog.text


def test_a_closed_or_broken_stdout_does_not_keep_a_worker_from_being_replaced() -> None:
    for before in ("closed", "gone"):
        program = f"""{SERVER}
def ready(workers):
    import threading, time
    first = workers.pids[0]
    if {before!r} == "closed":
        sys.stdout.close()
    else:
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
        os.close(writer)
        sys.stdout = open(1, "w", buffering=8192, closefd=False)
        sys.stdout.write("is not written")
    os.kill(first, signal.SIGKILL)
    def look():
        while not workers.pids or workers.pids[0] == first:
            time.sleep(0.001)
        os.write(2, b"replaced by %d" % workers.pids[0])
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=look, daemon=True).start()

assert socket2.serve_workers(handler, "127.0.0.1", ready=ready, workers=1) == 0
os.write(2, b", the end")
os._exit(0)
"""
        with Program([sys.executable, "-W", "error", "-c", program], env={"PYTHONPATH": str(ROOT)}) as running:
            assert running.wait() == 0, running.stderr().decode()
            assert re.search(rb"replaced by \d+.*, the end$", running.stderr(), re.DOTALL), running.stderr()


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_start_that_fails_leaves_no_descriptor(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise error

    workers = Workers(lambda *_: None, 1, [], 1.0)
    before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(error):
        workers._start(0)
    assert len(os.listdir("/dev/fd")) == before
    assert not workers.pids
    workers._wake_receiver.close()
    workers._wake_sender.close()


def test_where_it_cannot_be_called() -> None:
    def handler(conn: socket2.TCP) -> None: ...

    def main() -> Generator[Any, Any, None]:
        with pytest.raises(RuntimeError, match="instead of run"):
            serve_workers(handler, "127.0.0.1")
        yield from socket2.sleep(0)

    run(main)

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="main OS thread"):
            serve_workers(handler, "127.0.0.1")

    with beside(elsewhere):
        pass
    with pytest.raises(ValueError, match="workers must be at least 1"):
        serve_workers(handler, "127.0.0.1", workers=0)
    with pytest.raises(ValueError, match="negative"):
        serve_workers(handler, "127.0.0.1", grace_s=-1)
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        serve_workers(handler, "127.0.0.1", max_connections=0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_workers(handler, *taken.getsockname())


RESOLVED = """
import os, signal, socket
import socket2

class Table:
    async def getaddrinfo(self, host, port, family, type, proto, flags):
        await socket2.sleep(0)
        if host != "there.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "no " + host)
        return [(socket.AF_INET, type, proto, "", ("127.0.0.1", port))]

    def getnameinfo(self, sockaddr, flags):
        raise AssertionError

def handler(conn):
    yield from conn.sendall(b"%s\\n" % str((yield from socket2.addr("there.invalid", 80))[0]).encode())

def ready(workers):
    print("pids", *workers.pids, flush=True)
    print("listening on %s:%d" % workers.addresses[0][:2], flush=True)

print("cut", socket2.serve_workers(handler, "there.invalid", 0, workers=2, ready=ready, resolver=Table()), flush=True)
"""


def test_a_resolver_looks_up_the_place_and_the_names_in_each_worker() -> None:
    with Program([sys.executable, "-W", "error", "-c", RESOLVED], env={"PYTHONPATH": str(ROOT)}) as program:
        program.announced(r"pids ([\d ]+)$")
        port = program.port()
        for _ in range(10):
            with connect("127.0.0.1", port) as sock:
                assert receive_all(sock) == b"127.0.0.1:80\n"
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0, program.stderr().decode()
        assert program.stderr() == b""


def test_what_is_no_resolver_is_refused_before_anything_is_bound() -> None:
    with pytest.raises(TypeError, match=r"getaddrinfo\(\) and getnameinfo\(\)"):
        serve_workers(lambda conn: None, "there.invalid", 0, resolver=object())  # type: ignore[arg-type]


DESCRIPTORS = """
def handler(conn):
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + fd))
        except OSError:
            pass
    yield from conn.sendall(b"%d\\n" % found.count("anon_inode:[eventpoll]"))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("listeners", ["", "listeners=[socket2.listen('127.0.0.1:0')]"])
def test_a_worker_has_its_own_poller_and_not_that_of_the_supervisor(listeners: str) -> None:
    program = f"{SERVER}\n{DESCRIPTORS}\nserve(workers=1, {listeners})"
    environment = {"PYTHONPATH": str(ROOT), "SOCKET2_POLLER": "epoll"}
    with Program([sys.executable, "-W", "error", "-c", program], env=environment) as running:
        running.announced(r"pids ([\d ]+)$")
        with connect("127.0.0.1", running.port()) as sock:
            assert receive_line(sock) == b"1\n"
        running.send_signal(signal.SIGTERM)
        ends(running, cut=0)
