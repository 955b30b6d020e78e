"""Each example runs as a program, against peers that know nothing of socket2."""

from __future__ import annotations

import os
import re
import runpy
import select
import signal
import socket
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
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
    receive_exactly,
    swallowing,
)

EXAMPLES = ROOT / "examples"
STOP_S = 4.0  # less than any example waits for a client
ECHO_SERVERS = ["echo_server.py", "echo_server_async.py", "echo_server_net.py"]
SERVERS = [[name] for name in [*ECHO_SERVERS, "chat.py", "udp_time_server.py", "worker_server.py"]] + [
    ["tcp_proxy.py", "127.0.0.1:9"],
    ["throttled_server.py", str(Path(__file__).resolve())],
    ["password_server.py", ":memory:"],
]
ALL = {*ECHO_SERVERS, "chat.py", "udp_time_server.py", "tcp_proxy.py"} | {
    "port_scanner.py",
    "ping.py",
    "worker_server.py",
    "throttled_server.py",
    "password_server.py",
}


@contextmanager
def server(name: str, *args: str) -> Iterator[tuple[Program, int]]:
    """Run a server on a free port. At the end of the block Ctrl-C ends it: at once, with status 0 and no output."""
    with python(EXAMPLES / name, "--port", "0", *args) as program:
        yield program, program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        stop(program)
        assert program.stderr() == b""


def stop(program: Program) -> None:
    program.send_signal(signal.SIGINT)
    begun = monotonic()
    status = program.wait()
    took_s = monotonic() - begun
    assert status == 0, program.stderr().decode()
    assert took_s < STOP_S, f"Ctrl-C took {took_s:.2f} s to end it"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def meet(port: int) -> bytes:
    """Connect, and receive the first data."""
    with connect("127.0.0.1", port) as sock:
        return sock.recv(100)


def byte_passes(one: socket.socket, other: socket.socket) -> None:
    """Check that data sent on `one` arrives at `other`."""
    one.sendall(b"!")
    assert receive_exactly(other, 1) == b"!"


def settles(program: Program, open_files: int, goes_on: Callable[[], None]) -> None:
    """Check that the program soon has that many descriptors open, while it does other things."""
    for _ in range(100):
        if program.open_files() == open_files:
            return
        goes_on()
    assert program.open_files() == open_files


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send, and end the stream in this direction."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == ALL


# Any server.


@pytest.mark.parametrize("args", SERVERS, ids=lambda args: args[0])
def test_ctrl_c_ends_a_server_that_has_done_nothing_yet(args: list[str]) -> None:
    with server(*args):
        pass


@pytest.mark.parametrize("args", SERVERS, ids=lambda args: args[0])
def test_a_server_whose_address_is_taken_says_so(args: list[str]) -> None:
    kind = socket.SOCK_DGRAM if args[0] == "udp_time_server.py" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with python(EXAMPLES / args[0], "--port", str(port), *args[1:]) as program:
            assert program.wait() == 1
            assert program.stderr().startswith(f"cannot listen on 127.0.0.1:{port}: ".encode())
            assert b"Traceback" not in program.stderr()


# The echo servers.


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_echo(name: str) -> None:
    data = pattern(1, 3_000_000)
    with server(name) as (_, port), connect("127.0.0.1", port) as sock:
        sock.sendall(b"a line\n")
        assert receive_exactly(sock, 7) == b"a line\n"
        with beside(send_all, sock, data):
            assert receive_all(sock) == data


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_echo_serves_others_while_one_is_silent_and_one_does_not_read(name: str) -> None:
    with server(name) as (_, port), connect("127.0.0.1", port), connect("127.0.0.1", port) as deaf:
        deaf.settimeout(0.2)
        with pytest.raises(TimeoutError):
            deaf.sendall(bytes(64_000_000))
        for at in range(20):
            with connect("127.0.0.1", port) as sock:
                sock.sendall(b"%d" % at)
                sock.shutdown(socket.SHUT_WR)
                assert receive_all(sock) == b"%d" % at


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_echo_survives_clients_that_reset(name: str) -> None:
    with server(name) as (program, port), connect("127.0.0.1", port) as probe:
        byte_passes(probe, probe)
        open_files = program.open_files()
        for at in range(100):
            sock = connect("127.0.0.1", port)
            if at % 2:
                sock.sendall(bytes(100_000))  # the server is sending when the reset arrives
                receive_exactly(sock, 1)
            reset(sock)
        with connect("127.0.0.1", port) as last:
            byte_passes(last, last)
            settles(program, open_files + 1, lambda: byte_passes(probe, probe))


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_ctrl_c_ends_a_server_with_connections(name: str) -> None:
    with ExitStack() as clients:
        with server(name) as (_, port):
            for at in range(10):
                sock = clients.enter_context(connect("127.0.0.1", port))
                sock.sendall(b"%d" % at)
                assert receive_exactly(sock, 1) == b"%d" % at
        assert sock.recv(1) == b""


# The chat server.


class Person:
    """A person in the chat, who sends and expects lines."""

    def __init__(self, port: int, name: str) -> None:
        self.name = name
        self.sock = connect("127.0.0.1", port)
        self._lines = self.sock.makefile("rb")
        self.say(name)

    def say(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\n")

    def hears(self) -> str:
        """Return the next line; '' if the server has closed the connection."""
        line: bytes = self._lines.readline()
        return line.decode().removesuffix("\n")

    def talks_to(self, other: Person) -> None:
        """Say something, and check that `other` hears it, perhaps after earlier lines."""
        self.say("!")
        while (heard := other.hears()) != f"{self.name}: !":
            assert heard

    def leave(self) -> None:
        self._lines.close()
        self.sock.close()

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


def test_chat() -> None:
    with server("chat.py") as (_, port), Person(port, "Ann") as ann:
        with Person(port, "Bøb") as bob:
            assert ann.hears() == "* Bøb is here"
            ann.say("hello")
            assert bob.hears() == "Ann: hello"
            bob.say("both")
            bob.say("lines")
            assert [ann.hears(), ann.hears()] == ["Bøb: both", "Bøb: lines"]
            bob.sock.sendall(b"in ")
            bob.sock.sendall(b"pieces, tricks \x1b[2J and \t nothing \r\n")
            assert ann.hears() == "Bøb: in pieces, tricks [2J and  nothing "
            bob.sock.sendall(b"not UTF-8: \xff\n")
            assert ann.hears() == "Bøb: not UTF-8: \N{REPLACEMENT CHARACTER}"
        assert ann.hears() == "* Bøb has left"


def test_chat_a_line_of_ones_own_does_not_come_back() -> None:
    with server("chat.py") as (_, port), Person(port, "Ann") as ann, Person(port, "Bob") as bob:
        assert ann.hears() == "* Bob is here"
        ann.say("one")
        bob.say("two")
        assert ann.hears() == "Bob: two"
        assert bob.hears() == "Ann: one"


def test_chat_who_has_finished_sending_gets_what_is_left() -> None:
    with (
        server("chat.py") as (_, port),
        Person(port, "Ann") as ann,
        Person(port, "Bob") as bob,
        Person(port, "Eve") as eve,
    ):
        assert {ann.hears(), ann.hears()} == {"* Bob is here", "* Eve is here"}
        for at in range(100):
            ann.say(str(at))
        while eve.hears() != "Ann: 99":
            pass
        bob.sock.shutdown(socket.SHUT_WR)
        heard = [line for line in iter(bob.hears, "") if line != "* Eve is here"]
        assert heard == [f"Ann: {at}" for at in range(100)]
        assert ann.hears() == "* Bob has left"


def test_chat_drops_a_client_that_does_not_read_and_delays_nobody_for_it() -> None:
    with server("chat.py") as (program, port), Person(port, "Ann") as ann, Person(port, "Bob") as bob:
        assert ann.hears() == "* Bob is here"
        open_files = program.open_files()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(LIMIT_S)
            deaf.connect(("127.0.0.1", port))
            deaf.sendall(b"Deaf\n")
            assert [ann.hears(), bob.hears()] == ["* Deaf is here"] * 2
            said = 0
            heard = ""
            while heard != "* Deaf has left":
                assert said < 64_000_000, "the server keeps all that a client does not read"
                # Never send more than may be queued, so that Bob is not the slow one.
                ann.sock.sendall((b"x" * 999 + b"\n") * 32 + b"now\n")
                said += 32 * 1000
                heard = bob.hears()
                while heard not in ("Ann: now", "* Deaf has left"):
                    heard = bob.hears()
            while ann.hears() != "* Deaf has left":
                pass
            settles(program, open_files, lambda: ann.talks_to(bob))


def test_chat_drops_a_line_without_end() -> None:
    with server("chat.py") as (_, port), Person(port, "Ann") as ann, Person(port, "Bob") as bob:
        assert ann.hears() == "* Bob is here"
        bob.sock.sendall(b"x" * 10_000)
        assert ann.hears() == "* Bob has left"


def test_chat_survives_resets() -> None:
    with server("chat.py") as (program, port), Person(port, "Ann") as ann:
        with Person(port, "Bob"):
            assert ann.hears() == "* Bob is here"
            open_files = program.open_files()
        assert ann.hears() == "* Bob has left"
        for at in range(50):
            person = Person(port, str(at))
            assert ann.hears() == f"* {at} is here"
            person.say("x")
            ann.say("y")
            reset(person.sock)
            person.leave()
            assert ann.hears() in (f"{at}: x", f"* {at} has left")  # a reset overtakes what was sent before
            while ann.hears() != f"* {at} has left":
                pass
        with Person(port, "Bob") as bob:
            assert ann.hears() == "* Bob is here"
            settles(program, open_files, lambda: ann.talks_to(bob))


# The time server.


def test_udp_time() -> None:
    with server("udp_time_server.py") as (_, port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT_S)
        sock.connect(("127.0.0.1", port))
        before = datetime.now(UTC)
        sock.send(b"time\n")
        answer = sock.recv(1000)
        assert before <= datetime.fromisoformat(answer.decode().strip()) <= datetime.now(UTC)
        # Only this one is answered: the only reply is for the last datagram.
        for other in (b"", answer, b"tim", bytes(2000)):
            sock.send(other)
        sock.send(b"time")
        assert answer < sock.recv(1000)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1000)


def test_udp_time_survives_clients_that_cannot_be_answered() -> None:
    with server("udp_time_server.py") as (_, port):
        for _ in range(10):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
                gone.sendto(b"time", ("127.0.0.1", port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT_S)
            sock.sendto(b"time", ("127.0.0.1", port))
            assert sock.recvfrom(1000)[1] == ("127.0.0.1", port)


# The password server.


@contextmanager
def passwords(directory: Path, members: int) -> Iterator[tuple[Program, int]]:
    args = ["--members", str(members), "--rounds", "1000", str(directory / "passwords.db")]
    with server("password_server.py", *args) as (program, port):
        yield program, port


def asked(port: int, *requests: str) -> list[str]:
    with connect("127.0.0.1", port) as sock:
        send_all(sock, "".join(f"{request}\n" for request in requests).encode())
        return receive_all(sock).decode().splitlines()


@pytest.mark.parametrize("members", [1, 4])
def test_passwords(members: int, tmp_path: Path) -> None:
    with passwords(tmp_path, members) as (_, port):
        assert asked(port, "set ann secret", "check ann secret", "check ann guess") == ["ok", "yes", "no"]
        assert asked(port, "check bob secret", "ping", "nonsense", "set ann") == ["no", "pong", "what?", "what?"]
    with passwords(tmp_path, members) as (_, port):
        assert asked(port, "set ann new one", "check ann new one") == ["ok", "yes"]


def test_passwords_of_many_at_a_time(tmp_path: Path) -> None:
    with passwords(tmp_path, 4) as (_, port), ExitStack() as stack:
        asking = [
            stack.enter_context(beside(asked, port, f"set n{at} p{at}", f"check n{at} p{at}", f"check n{at} p"))
            for at in range(8)
        ]
        assert [one.outcome() for one in asking] == [["ok", "yes", "no"]] * 8


def test_passwords_that_are_checked_keep_nobody_waiting(tmp_path: Path) -> None:
    """Two checks wait for the database while this test holds it, for at most five seconds."""
    database = tmp_path / "passwords.db"
    with passwords(tmp_path, 4) as (_, port), closing(sqlite3.connect(database, isolation_level=None)) as held:
        assert asked(port, "set ann secret") == ["ok"]
        held.execute("BEGIN EXCLUSIVE")
        with connect("127.0.0.1", port) as one, connect("127.0.0.1", port) as other:
            for checking in (one, other):
                checking.sendall(b"check ann secret\n")
            for _ in range(50):
                assert asked(port, "ping") == ["pong"]
            assert select.select([one, other], [], [], 0)[0] == [], "the pings had to wait for the checks"
            held.execute("COMMIT")
            for checking in (one, other):
                assert receive_exactly(checking, 4) == b"yes\n"


@pytest.mark.parametrize("members", [1, 4])
def test_ctrl_c_ends_the_password_server_with_connections(members: int, tmp_path: Path) -> None:
    with ExitStack() as clients, passwords(tmp_path, members) as (_, port):
        for _ in range(5):
            sock = clients.enter_context(connect("127.0.0.1", port))
            sock.sendall(b"ping\n")
            assert receive_exactly(sock, 5) == b"pong\n"


# The proxy.


@contextmanager
def proxied() -> Iterator[tuple[Program, int, socket.socket]]:
    """Return a proxy, its port, and the listening socket that it forwards connections to."""
    with socket.create_server(("127.0.0.1", 0)) as target:
        target.settimeout(LIMIT_S)
        with server("tcp_proxy.py", f"127.0.0.1:{target.getsockname()[1]}") as (program, port):
            yield program, port, target


def accepted(listener: socket.socket) -> socket.socket:
    sock, _ = listener.accept()
    sock.settimeout(LIMIT_S)
    return sock


def test_proxy_carries_both_directions_at_once() -> None:
    up, down = pattern(1, 3_000_000), pattern(2, 3_000_000)
    with proxied() as (_, port, target), connect("127.0.0.1", port) as near, accepted(target) as far:
        with beside(send_all, near, up), beside(send_all, far, down), beside(receive_all, near) as nearer:
            assert receive_all(far) == up
        assert nearer.outcome() == down


@pytest.mark.parametrize("first_end", ["client", "target"])
def test_proxy_carries_a_half_close(first_end: str) -> None:
    with proxied() as (program, port, target):
        with connect("127.0.0.1", port) as near, accepted(target) as far:
            one, other = (near, far) if first_end == "client" else (far, near)
            send_all(one, b"question")
            assert receive_all(other) == b"question"
            send_all(other, b"answer")
            assert receive_all(one) == b"answer"
        assert program.stdout().count(b"\n") == 1


@pytest.mark.parametrize("who", ["client", "target"])
def test_proxy_carries_a_reset(who: str) -> None:
    with proxied() as (program, port, target), connect("127.0.0.1", port) as probe, accepted(target) as probed:
        byte_passes(probe, probed)
        open_files = program.open_files()
        for _ in range(20):
            with connect("127.0.0.1", port) as near, accepted(target) as far:
                one, other = (near, far) if who == "client" else (far, near)
                one.sendall(b"half of ")
                assert receive_exactly(other, 8) == b"half of "
                reset(one)
                with pytest.raises(ConnectionResetError):
                    other.recv(100)
        settles(program, open_files, lambda: byte_passes(probe, probed))


def test_proxy_resets_whom_it_cannot_connect() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # it is bound, so that nobody else listens there, but nobody listens
        target = f"127.0.0.1:{closed.getsockname()[1]}"
        with python(EXAMPLES / "tcp_proxy.py", "--port", "0", target) as program:
            port = program.port()
            for _ in range(3):
                with pytest.raises(ConnectionResetError):
                    meet(port)
            stop(program)
            lines = program.stderr().decode().splitlines()
            assert lines == [f"{target}: [Errno 111] Connection refused"] * 3


def test_proxy_says_what_it_does_not_understand() -> None:
    with python(EXAMPLES / "tcp_proxy.py", "nowhere") as program:
        assert program.wait() == 2
        assert b"'nowhere' is not HOST:PORT" in program.stderr()


# The port scanner.


def test_port_scanner_finds_what_is_open() -> None:
    with ExitStack() as listeners:
        # Its own address if possible, so that it does not call servers of other tests.
        host = "127.0.0.77" if sys.platform in ("linux", "win32") else "127.0.0.1"
        socks = [listeners.enter_context(socket.create_server((host, 0))) for _ in range(5)]
        ports = sorted(sock.getsockname()[1] for sock in socks)
        first, last = ports[0], max(ports[-1], ports[0] + 300)
        span = f"{first}-{last}"
        with python(EXAMPLES / "port_scanner.py", host, "--ports", span, "--limit", "20") as program:
            assert program.wait() == 0
            assert program.stderr() == b""
            *found, summary = program.stdout().decode().splitlines()
    assert [int(port) for port in found if int(port) in ports] == ports
    assert summary.startswith(f"{last - first + 1} ports: ")
    assert f"{len(found)} open" in summary
    assert "Connection refused" in summary


def test_port_scanner_gives_up_on_a_port_that_does_not_answer() -> None:
    with swallowing() as port:
        with python(EXAMPLES / "port_scanner.py", "127.0.0.1", "--ports", str(port), "--timeout", "0.2") as program:
            assert program.wait() == 0
            assert program.stderr() == b""
            assert program.stdout() == b"1 ports: 1 timed out\n"


def test_port_scanner_refuses_nonsense() -> None:
    for args in (["--ports", "0-10"], ["--ports", "9-8"], ["--ports", "x"], ["--limit", "0"], ["--timeout", "nan"]):
        with python(EXAMPLES / "port_scanner.py", "127.0.0.1", *args) as program:
            assert program.wait() == 2


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
