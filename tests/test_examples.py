"""Each example runs as a program, against peers that know nothing of socket2."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from .interop.peers import (
    LIMIT_S,
    beside,
    connect,
    pattern,
    python,
    receive_all,
    receive_exactly,
)
from .programs.running import EXAMPLES, byte_passes, reset, send_all, server, settles

ECHO_SERVERS = ["echo_server.py", "echo_server_async.py", "echo_server_net.py"]
PROTOCOLS = ["resp_server.py", "socks5_server.py", "job_queue.py", "mqtt_broker.py"]
SERVERS = [
    [name]
    for name in [*ECHO_SERVERS, *PROTOCOLS, "chat.py", "chat_websocket.py", "udp_time_server.py", "worker_server.py"]
] + [
    ["dns_cache.py", "--upstream", "127.0.0.1"],
    ["tcp_proxy.py", "127.0.0.1:9"],
    ["reverse_proxy.py", "127.0.0.1:9"],
    ["static_server.py", str(EXAMPLES)],
    ["tftp_server.py", str(EXAMPLES)],
    ["syslog_collector.py", "--tcp", "0", str(EXAMPLES)],
    ["throttled_server.py", str(Path(__file__).resolve())],
    ["password_server.py", ":memory:"],
]
ALL = {
    *ECHO_SERVERS,
    *PROTOCOLS,
    "dns_cache.py",
    "chat.py",
    "chat_websocket.py",
    "udp_time_server.py",
    "tcp_proxy.py",
} | {
    "port_scanner.py",
    "ping.py",
    "worker_server.py",
    "throttled_server.py",
    "password_server.py",
    "follow_command.py",
    "pipeline.py",
    "reverse_proxy.py",
    "smtp_sink.py",
    "static_server.py",
    "tftp_server.py",
    "syslog_collector.py",
    "health_checker.py",
}
DATAGRAMS = {"dns_cache.py", "udp_time_server.py", "tftp_server.py", "syslog_collector.py"}


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == ALL


# Any server.


@pytest.mark.parametrize("args", SERVERS, ids=lambda args: args[0])
def test_ctrl_c_ends_a_server_that_has_done_nothing_yet(args: list[str]) -> None:
    with server(*args):
        pass


@pytest.mark.parametrize("args", SERVERS, ids=lambda args: args[0])
def test_a_server_whose_address_is_taken_says_so(args: list[str]) -> None:
    kind = socket.SOCK_DGRAM if args[0] in DATAGRAMS else socket.SOCK_STREAM
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
