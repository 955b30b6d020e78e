"""Examples as programs: the time server, the password server, the proxy, and the port scanner."""

from __future__ import annotations

import select
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .interop.peers import (
    LIMIT_S,
    Program,
    beside,
    connect,
    pattern,
    python,
    receive_all,
    receive_exactly,
    swallowing,
)
from .programs.running import EXAMPLES, byte_passes, meet, reset, send_all, server, settles, stop

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
                byte_passes(other, one)  # by now the proxy waits for more: Wine hides a reset that nobody waits for
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


@contextmanager
def listening_here_and_there(host: str, first: int, last: int) -> Iterator[list[int]]:
    """Listen on five ports of these. Yield them."""
    ports: list[int] = []
    with ExitStack() as listeners:
        for port in range(first, last + 1, 7):
            with suppress(OSError):  # somebody else has it
                listeners.enter_context(socket.create_server((host, port)))
                ports.append(port)
            if len(ports) == 5:
                break
        assert len(ports) == 5
        yield ports


def test_port_scanner_finds_what_is_open() -> None:
    # Its own address if possible, so that it does not call servers of other tests.
    host = "127.0.0.77" if sys.platform in ("linux", "win32") else "127.0.0.1"
    first, last = 42_000, 42_200
    with listening_here_and_there(host, first, last) as ports:
        with python(EXAMPLES / "port_scanner.py", host, "--ports", f"{first}-{last}", "--limit", "20") as program:
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
