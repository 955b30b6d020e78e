"""Examples as programs: the throttled server, ping, and the server of several processes."""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import struct
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from .interop.peers import (
    LIMIT_S,
    ROOT,
    Program,
    beside,
    connect,
    pattern,
    python,
    receive_all,
)
from .programs.running import EXAMPLES, reset, server, stop

# The throttled server.


def test_throttled_server_is_in_no_hurry(tmp_path: Path) -> None:
    """When the last block comes, it has waited after every whole block."""
    rate, blocks = 100_000, 10
    data = pattern(6, blocks * 4096 + 1)
    (tmp_path / "file").write_bytes(data)
    with server("throttled_server.py", "--rate", str(rate), str(tmp_path / "file")) as (_, port):
        begun = monotonic()
        with connect("127.0.0.1", port) as one, connect("127.0.0.1", port) as other:
            assert receive_all(one) == receive_all(other) == data
        assert monotonic() - begun >= blocks * 4096 / rate


def test_throttled_server_tells_of_who_left_and_serves_the_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3 * 4096))
    args = ["--port", "0", "--rate", "100000", str(tmp_path / "file")]
    with python(EXAMPLES / "throttled_server.py", *args) as program:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        with connect("127.0.0.1", port) as leaves, connect("127.0.0.1", port) as stays:
            assert leaves.recv(1) == b"\0"
            reset(leaves)
            assert len(receive_all(stays)) == 3 * 4096
        stop(program)
        assert program.stderr() == b"client lost: closed\n"


def test_throttled_server_refuses_nonsense(tmp_path: Path) -> None:
    for args in (["--rate", "0", __file__], ["--rate", "nan", __file__], [str(tmp_path / "no file")], []):
        with python(EXAMPLES / "throttled_server.py", *args) as program:
            assert program.wait() == 2


# Ping.


@pytest.fixture
def may_ping() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except PermissionError:
        pytest.skip("needs the right to raw sockets: root, or CAP_NET_RAW")


@pytest.mark.usefixtures("may_ping")
def test_ping_this_machine() -> None:
    with python(EXAMPLES / "ping.py", "-c", "3", "-i", "0.01") as program:
        status = program.wait()
        assert program.stderr() == b""
        lines = program.stdout().decode().splitlines()
    assert status == 0
    for at, line in enumerate(lines[:3], 1):
        assert re.fullmatch(rf"64 bytes from 127\.0\.0\.1: seq={at} ttl=\d+ time=\d+\.\d{{3}} ms", line), line
    assert lines[3:] == ["3 sent, 3 received"]


@pytest.mark.usefixtures("may_ping")
def test_two_pings_at_once_take_their_own_answers() -> None:
    ping = partial(python, EXAMPLES / "ping.py", "-i", "0.001", "-c", "200")
    with ping("127.0.0.1") as one, ping("127.0.0.2") as other:
        for program, host in (one, "127.0.0.1"), (other, "127.0.0.2"):
            assert program.wait() == 0
            *lines, last = program.stdout().decode().splitlines()
            assert len(lines) == 200
            assert all(line.startswith(f"64 bytes from {host}: seq={at} ") for at, line in enumerate(lines, 1))
            assert last == "200 sent, 200 received"


@pytest.mark.usefixtures("may_ping")
def test_ctrl_c_ends_ping_with_the_summary() -> None:
    with python(EXAMPLES / "ping.py", "-i", "60") as program:
        program.announced("64 bytes from")
        stop(program)
        assert program.stdout().decode().splitlines()[-1] == "1 sent, 1 received"
        assert program.stderr() == b""


def test_ping_takes_no_other_packet_for_its_reply() -> None:
    ping = runpy.run_path(str(EXAMPLES / "ping.py"))
    request = ping["echo_request"](0x1234, 7)
    (checksum,) = struct.unpack_from("!H", request, 2)
    reply = struct.pack("!BBH", 0, 0, checksum + 0x0800) + request[4:]  # as the kernel makes it from a request
    assert ping["is_reply"](reply, 0x1234, 7)
    assert not ping["is_reply"](request, 0x1234, 7)
    assert not ping["is_reply"](reply, 0x1235, 7)
    assert not ping["is_reply"](reply, 0x1234, 8)
    for at in range(len(reply)):
        assert not ping["is_reply"](reply[:at], 0x1234, 7)
        changed = reply[:at] + bytes([reply[at] ^ 1]) + reply[at + 1 :]
        assert not ping["is_reply"](changed, 0x1234, 7)


# Run before ping: gives the process a network of its own that has only loopback.
ALONE = """
import ctypes, fcntl, os, socket, struct, sys
CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1
if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
    sys.exit(77)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
with open("/proc/sys/net/ipv4/icmp_echo_ignore_all", "w") as file:
    file.write("1")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.usefixtures("may_ping")
@pytest.mark.skipif(sys.platform != "linux", reason="needs a network namespace")
@pytest.mark.parametrize(
    ("host", "says"), [("127.0.0.1", "no answer from 127.0.0.1: seq={}"), ("192.0.2.1", "Network is unreachable")]
)
def test_ping_who_does_not_answer(host: str, says: str) -> None:
    ping = [sys.executable, "-c", ALONE, str(EXAMPLES / "ping.py"), "-c", "2", "-i", "0.01", "-W", "0.05", host]
    with Program(ping, env={"PYTHONPATH": str(ROOT)}) as program:
        if (status := program.wait()) == 77:
            pytest.skip("needs the right to make a network namespace")
        assert status == 1, program.stderr().decode()
        lines = (program.stdout() + program.stderr()).decode().splitlines()
        assert b"Traceback" not in program.stderr()
    if host == "127.0.0.1":
        assert lines == [says.format(1), says.format(2), "2 sent, 0 received"]
    else:
        assert says in lines[-1]


def test_ping_without_the_right_to() -> None:
    dropping = (
        "import ctypes, os, sys\n"
        "PR_CAPBSET_DROP, CAP_NET_RAW = 24, 13\n"
        "ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    command = [sys.executable, "-c", dropping, str(EXAMPLES / "ping.py"), "-c", "1"]
    with Program(command, env={"PYTHONPATH": str(ROOT)}) as program:
        assert program.wait() == 1
        assert program.stdout() == b""
        assert program.stderr() == b"a raw socket needs root, or the capability CAP_NET_RAW\n"


# The server of several processes.


class Asker:
    """A client of worker_server.py."""

    def __init__(self, port: int) -> None:
        self.sock = connect("127.0.0.1", port)
        self._lines = self.sock.makefile("rb")
        try:
            self.worker = int(self.line().removeprefix(b"worker "))
        except BaseException:
            self.close()
            raise

    def line(self) -> bytes:
        return self._lines.readline()

    def ask(self) -> None:
        self.sock.sendall(b"a line\n")
        assert self.line() == b"A LINE\n"

    def close(self) -> None:
        self._lines.close()
        self.sock.close()

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def askers_at_all(workers: int, port: int, stack: ExitStack) -> list[Asker]:
    """Connect until each worker has a connection: the kernel distributes them as it likes."""
    askers: list[Asker] = []
    while len({asker.worker for asker in askers}) < workers:
        assert len(askers) < 200
        askers.append(stack.enter_context(Asker(port)))
    return askers


def children(pid: int) -> set[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    if not listing.exists():
        pytest.skip("this system has no /proc that lists children")
    return set(map(int, listing.read_text().split()))


def replaced(program: Program, before: set[int], port: int) -> None:
    """Check that another worker has replaced it, and serves."""
    begun = monotonic()
    while not (new := children(program.pid) - before):
        assert monotonic() - begun < LIMIT_S
    while True:
        with Asker(port) as asker:
            asker.ask()
            if asker.worker in new:
                return
        assert monotonic() - begun < LIMIT_S


def test_a_worker_of_four_that_is_killed_takes_its_own_connections_with_it_only() -> None:
    with python(EXAMPLES / "worker_server.py", "--port", "0", "--workers", "4") as program, ExitStack() as stack:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        askers = askers_at_all(4, port, stack)
        before = children(program.pid)
        assert before == {asker.worker for asker in askers}
        killed = askers[0].worker
        os.kill(killed, signal.SIGKILL)
        replaced(program, before, port)
        for asker in askers:
            if asker.worker == killed:
                assert asker.line() == b""
            else:
                asker.ask()
        stack.close()
        stop(program)
        program.complains(b"(pid %d) was killed by SIGKILL" % killed)


def test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand() -> None:
    with python(EXAMPLES / "worker_server.py", "--port", "0", "--workers", "2") as program, ExitStack() as stack:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        askers = askers_at_all(2, port, stack)
        before = children(program.pid)
        ending = askers[0].worker
        for asker in askers:
            asker.ask()
            asker.sock.sendall(b"first\nsecond\n")
            assert asker.line() == b"FIRST\n"
        os.kill(ending, signal.SIGTERM)
        for asker in askers:
            assert asker.line() == b"SECOND\n"
            if asker.worker == ending:
                assert asker.line() == b""
            else:
                asker.ask()
        replaced(program, before, port)
        stack.close()
        stop(program)
        assert program.stderr() == b"", "it was asked to"


def test_a_stop_under_load_answers_whoever_was_greeted() -> None:
    def client(port: int) -> int:
        """Ask on new connections until none can be made. Return how many were greeted."""
        greeted = 0
        while True:
            try:
                asker = Asker(port)
            except (ConnectionRefusedError, ConnectionResetError, ValueError):
                return greeted  # it was not accepted: nobody has greeted it
            with asker:
                asker.ask()
            greeted += 1

    with python(EXAMPLES / "worker_server.py", "--port", "0", "--workers", "2") as program:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        with ExitStack() as stack:
            clients = [stack.enter_context(beside(client, port)) for _ in range(8)]
            with Asker(port) as asker:
                for _ in range(5):
                    asker.ask()
            program.send_signal(signal.SIGTERM)
            assert program.wait() == 0
            assert all(thread.outcome() for thread in clients)
        assert program.stderr() == b""
