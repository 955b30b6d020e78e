"""Taking a UNIX path over from a dead server, and from nobody else."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pollers
import pollers.paths
from pollers.paths import SUFFIX
from socket2 import bind, listen

from ..conftest import descriptors
from ..injection import PlacedInjection, Raised, at_each_place
from ..interop.peers import LIMIT_S, ROOT
from ..sources import modules_in
from .test_paths import left_by_a_dead_server, mode_of, path, way

__all__ = ["path", "way"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fchmod"), reason="this system has no UNIX sockets")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_dead_server_s_path_is_taken_over(path: Path, kind: int) -> None:
    left_by_a_dead_server(path, kind)
    path.chmod(0o755)
    with listen(path) if kind == socket.SOCK_STREAM else bind(path):
        assert mode_of(path) == 0o600
    assert not path.exists()


def test_a_live_server_s_path_is_not_taken_over(path: Path) -> None:
    for make in (listen, bind):
        with make(path):
            found = path.stat().st_ino
            with pytest.raises(OSError, match=r"in use") as failure:
                make(path)
            assert failure.value.errno == errno.EADDRINUSE
            assert path.stat().st_ino == found
    with bind(path):  # a datagram socket does not answer connections, and does not refuse them
        with pytest.raises(OSError, match=r"in use"):
            listen(path)
        assert path.is_socket()


def test_a_server_whose_queue_is_full_is_alive(path: Path) -> None:
    with listen(path, backlog=0), ExitStack() as clients:
        while True:
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            try:
                client.connect(str(path))
            except (BlockingIOError, ConnectionRefusedError):
                break
        with pytest.raises(OSError, match=r"in use"):
            listen(path)
        assert path.is_socket()


def test_a_live_server_notices_nothing(path: Path) -> None:
    with listen(path) as server, bind(path.with_name("datagrams")) as receiver:
        for make in (listen, bind):
            for taken in (path, path.with_name("datagrams")):
                with pytest.raises(OSError, match=r"in use"):
                    make(taken)
        assert pollers.ready([server.fileno(), receiver.fileno()], []) == (set(), set())


def test_a_socket_that_does_not_listen_yet_is_alive(path: Path) -> None:
    with bind(path, type="tcp") as sock:
        with pytest.raises(OSError, match=r"in use"):
            listen(path)
        sock.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("what", ["file", "directory", "fifo", "link", "link to a dead socket"])
def test_what_is_no_socket_is_never_removed(path: Path, way: Callable[..., Any], what: str) -> None:
    if what == "file":
        path.write_text("data")
    elif what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if what == "link" else "dead")
        left_by_a_dead_server(path.with_name("dead"))
    before = path.lstat()
    with pytest.raises(OSError, match=r".") as failure:
        way(path)
    assert failure.value.errno == errno.EADDRINUSE
    assert path.lstat() == before


def test_no_such_directory_and_a_path_that_is_too_long(path: Path, way: Callable[..., Any]) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        way(path / "deeper")
    assert str(path / "deeper") in str(failure.value)
    with pytest.raises(OSError, match="too long"):
        way(f"{path}{'x' * 120}")


def test_bytes_and_names_that_are_no_text(path: Path) -> None:
    odd = os.fsencode(path) + b"\xff"
    with listen(odd):
        assert os.path.lexists(odd)
    assert not os.path.lexists(odd)


def test_a_path_that_somebody_is_just_taking(path: Path) -> None:
    left_by_a_dead_server(path)
    with pollers.paths._alone_at(str(path)):
        for make in (listen, bind):
            with pytest.raises(OSError, match="about to listen") as failure:
                make(path)
            assert failure.value.errno == errno.EADDRINUSE
        assert path.is_socket()
    with listen(path):
        pass


def test_a_lock_that_was_left_behind(path: Path) -> None:
    lock = path.with_name(f"s{SUFFIX}")
    lock.touch()
    with listen(path):
        assert not lock.exists()


@pytest.mark.parametrize("what", ["fifo", "directory", "link"])
def test_what_is_no_lock_is_never_removed(path: Path, what: str) -> None:
    lock = path.with_name(f"s{SUFFIX}")
    if what == "fifo":
        os.mkfifo(lock)
    elif what == "directory":
        lock.mkdir()
    else:
        lock.symlink_to("target")
    before = lock.lstat()
    with pytest.raises(OSError, match=SUFFIX):
        listen(path)
    assert lock.lstat() == before
    assert not path.exists()
    assert not path.with_name("target").exists()
    lock.rmdir() if what == "directory" else lock.unlink()


def test_a_lock_that_was_removed_since_it_was_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former holder removes the file between our open(2) and our flock(2)."""
    real, tried = pollers.paths._open, []

    def opens(name: bytes, path: Any, opened: list[int]) -> None:
        tried.append(name)
        real(name, path, opened)
        if len(tried) < 3:
            os.unlink(name)

    monkeypatch.setattr(pollers.paths, "_open", opens)
    with listen(path):
        assert len(tried) == 3


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_signal_handler_that_raises_leaves_no_descriptor_open(path: Path) -> None:
    def attempt(injection: PlacedInjection) -> None:
        left_by_a_dead_server(path)
        sock = socket.socket(socket.AF_UNIX)
        before = descriptors()
        try:
            with injection:
                pollers.bind_path(sock, str(path), 0o600, (-1, -1), probe, sock.listen)
        except Raised:
            assert injection.where
        assert descriptors() == before, injection.where
        sock.close()
        path.unlink(missing_ok=True)
        path.with_name(f"s{SUFFIX}").unlink(missing_ok=True)

    probe = partial(socket.socket, socket.AF_UNIX, socket.SOCK_DGRAM)
    assert at_each_place(attempt, modules_in("pollers", "paths closing")) > 30


RACER = """
import sys, threading
from socket2 import listen
sys.stdin.readline()
try:
    sock = listen(sys.argv[1])
except OSError as error:
    print("lost", error.errno, flush=True)
else:
    print("won", flush=True)
sys.stdin.readline()
"""


def test_of_processes_that_race_for_a_dead_server_s_path_exactly_one_wins(path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(6)
    ]
    left_by_a_dead_server(path)
    told = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout is not None
        told.append(racer.stdout.readline().strip())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    for racer in racers:
        racer.communicate("end\n", timeout=LIMIT_S)
    assert sorted(told) == [*[f"lost {errno.EADDRINUSE}"] * 5, "won"]


def test_of_os_threads_that_race_for_a_dead_server_s_path_exactly_one_wins(path: Path) -> None:
    for _ in range(20):
        left_by_a_dead_server(path)
        start, end, outcomes = threading.Barrier(4), threading.Barrier(4), list[Any]()

        def race(start: threading.Barrier, end: threading.Barrier, outcomes: list[Any]) -> None:
            start.wait()
            try:
                sock = listen(path)
            except OSError as error:
                outcomes.append(error.errno)
                end.wait()
            else:
                outcomes.append("won")
                end.wait()
                sock.close()

        racers = [threading.Thread(target=race, args=(start, end, outcomes)) for _ in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert outcomes.count("won") == 1
        assert outcomes.count(errno.EADDRINUSE) == 3
        assert not path.exists()


WORKERS = """
import os, signal, sys
import socket2

def handler(conn):
    yield from conn.sendall(b"%d" % os.getpid())

def ready(workers):
    print(*workers.pids, flush=True)

socket2.serve_workers(handler, sys.argv[1], workers=2, mode=0o660, ready=ready)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_workers_that_come_and_go_leave_the_file_to_their_supervisor(path: Path) -> None:
    def ask() -> int:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT_S)
            client.connect(str(path))
            return int(client.recv(100))

    for ended_by in (signal.SIGTERM, signal.SIGKILL):
        supervisor = subprocess.Popen(
            [sys.executable, "-c", WORKERS, str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with supervisor:
            assert supervisor.stdout is not None
            pids = {int(pid) for pid in supervisor.stdout.readline().split()}
            assert len(pids) == 2
            assert mode_of(path) == 0o660
            found = path.stat().st_ino
            for pid in pids:
                os.kill(pid, signal.SIGTERM)  # it is renewed
            while ask() in pids:
                pass
            assert path.stat().st_ino == found
            supervisor.send_signal(ended_by)
            supervisor.wait(LIMIT_S)
        assert path.exists() is (ended_by == signal.SIGKILL)
        while path.exists():  # as soon as its workers have gone, the path can be taken over
            try:
                listen(path).close()
            except OSError as error:
                assert error.errno == errno.EADDRINUSE
