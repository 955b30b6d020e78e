"""What the supervisor of worker processes decides, and what it and the workers inherit."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

import socket2
from socket2 import run, serve_workers
from socket2.servers.inheritance import Places
from socket2.servers.supervisor import Workers

from ..interop.peers import ROOT, Program, beside, connect, receive_all
from .test_workers import SERVER, ends, receive_line

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)


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
