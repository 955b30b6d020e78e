"""The syslog collector, against Python's SysLogHandler and util-linux' logger, and bytes by hand."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from ..interop.peers import LIMIT_S, Program, beside, call, connect, needs, python, receive_all
from .running import EXAMPLES, reset, server, settles, stop

NAME = "syslog_collector.py"
no_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets here")
no_hangup = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")


class Collector:
    """A running collector: its ports, and what it has written."""

    def __init__(self, directory: Path, program: Program, port: int) -> None:
        self.directory = directory
        self.program = program
        self.port = port
        self.tcp = int(program.announced(r"^streams on 127\.0\.0\.1:(\d+)$")[1])

    def lines(self, count: int, facility: str = "user", host: str = "127.0.0.1") -> list[str]:
        """Wait until a file has that many lines. Return them without the time."""
        path = self.directory / host / f"{facility}.log"
        deadline = monotonic() + LIMIT_S
        while True:
            lines = path.read_text().splitlines() if path.exists() else []
            if len(lines) >= count:
                assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\d\+00:00 ", line) for line in lines)
                assert len(lines) == count
                return [line.split(" ", 1)[1] for line in lines]
            assert monotonic() < deadline, lines


@contextmanager
def collector(directory: Path, *args: str) -> Iterator[Collector]:
    directory.mkdir()
    with server(NAME, "--tcp", "0", *args, str(directory)) as (program, port):
        yield Collector(directory, program, port)


def logs(address: tuple[str, int] | str, kind: socket.SocketKind, *messages: str) -> None:
    """Log as a Python program does."""
    handler = logging.handlers.SysLogHandler(address, logging.handlers.SysLogHandler.LOG_MAIL, kind)
    handler.setFormatter(logging.Formatter("app: %(message)s"))
    with closing(handler):
        for message in messages:
            handler.handle(logging.LogRecord("app", logging.ERROR, "", 0, message, None, None))


def datagrams(port: int, *messages: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for message in messages:
            sock.sendto(message, ("127.0.0.1", port))


def counted(message: bytes) -> bytes:
    return b"%d %b" % (len(message), message)


# Real clients.


def test_logging_over_udp(tmp_path: Path) -> None:
    with collector(tmp_path / "logs") as logged:
        logs(("127.0.0.1", logged.port), socket.SOCK_DGRAM, "one", "zwei \N{SNOWMAN}\nthree")
        assert logged.lines(2, "mail") == ["err app: one", "err app: zwei \N{SNOWMAN}#012three"]


@no_unix
def test_logging_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with collector(tmp_path / "logs", "--unix", str(path)) as logged:
        assert path.stat().st_mode & 0o777 == 0o666
        logs(str(path), socket.SOCK_DGRAM, "one", "two")
        assert logged.lines(2, "mail", "local") == ["err app: one", "err app: two"]
    assert not path.exists()


def test_logger(tmp_path: Path) -> None:
    logger = [needs("logger"), "--priority", "local3.warning", "--tag", "test"]
    if b"util-linux" not in call([*logger, "--version"]).stdout:
        pytest.skip("another logger")
    with collector(tmp_path / "logs") as logged:
        for args in (["--udp", "--port", str(logged.port)], ["--tcp", "--octet-count", "--port", str(logged.tcp)]):
            call([*logger, "--server", "127.0.0.1", *args, "hello"])
        call([*logger, "--server", "127.0.0.1", "--tcp", "--port", str(logged.tcp), "hello"])
        lines = logged.lines(3, "local3")
    assert all(line.startswith("warning ") and line.endswith("hello") and "test" in line for line in lines)


# By hand.


def test_streams_in_both_forms(tmp_path: Path) -> None:
    with collector(tmp_path / "logs") as logged:
        with connect("127.0.0.1", logged.tcp) as sock:
            sock.sendall(
                counted(b"<14>one") + counted(b"<14>two\nlines") + b"<14>a line\n" + counted(b"<14>") + b"5 <1"
            )
            sock.sendall(b"4>!" + b"<14>last\n")
        assert logged.lines(6) == [
            *("info one", "info two#012lines", "info a line"),
            *("info ", "info !", "info last"),
        ]


def test_what_makes_no_sense(tmp_path: Path) -> None:
    with collector(tmp_path / "logs") as logged:
        messages = [
            b"",
            b"no priority",
            b"<999>x",
            b"<192>x",
            b"<>x",
            b"<-1>x",
            b"<14>\x1b[2J\0\r",
            b"<14>\xff",
            b"<14",
        ]
        datagrams(logged.port, *messages, b"<13>end")
        assert logged.lines(10) == [
            *("notice ", "notice no priority", "notice <999>x", "notice <192>x", "notice <>x", "notice <-1>x"),
            *("info #033[2J", "info \\xff", "notice <14", "notice end"),
        ]


@pytest.mark.parametrize(
    "data", [b"99999999999 x", b"70000 x", b"1x x", b"5", b"100 half", b"<14>no end", b"<14>" + b"x" * 100_000]
)
def test_streams_that_are_broken_are_closed(tmp_path: Path, data: bytes) -> None:
    with collector(tmp_path / "logs") as logged:
        with connect("127.0.0.1", logged.tcp) as sock:
            sock.sendall(counted(b"<14>before") + data)
            sock.shutdown(socket.SHUT_WR)
            try:
                assert receive_all(sock) == b""
            except ConnectionResetError:
                pass  # it has not read everything
        assert logged.lines(1) == ["info before"]


def test_many_streams_lose_nothing(tmp_path: Path) -> None:
    def send(at: int) -> None:
        with connect("127.0.0.1", logged.tcp) as sock:
            sock.sendall(b"".join(counted(b"<14>%d %d" % (at, number)) for number in range(2000)))

    with collector(tmp_path / "logs") as logged:
        with ExitStack() as stack:
            for sending in [stack.enter_context(beside(send, at)) for at in range(10)]:
                sending.outcome()
        lines = logged.lines(20_000)
    for at in range(10):
        assert [line for line in lines if line.startswith(f"info {at} ")] == [f"info {at} {n}" for n in range(2000)]


def test_a_flood_of_datagrams(tmp_path: Path) -> None:
    """Some are lost, in the kernel or for lack of room in the queue, and then it goes on."""
    with python(EXAMPLES / NAME, "--port", "0", "--tcp", "0", str(tmp_path)) as program:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        datagrams(port, *[b"<14>x"] * 50_000)
        deadline = monotonic() + LIMIT_S
        while not (tmp_path / "127.0.0.1" / "mail.log").exists():
            assert monotonic() < deadline
            datagrams(port, b"<22>end")
        stop(program)
        assert re.fullmatch(rb"(\d+ datagrams were dropped\n)*", program.stderr())


def test_clients_that_leave_at_any_point_leave_nothing_behind(tmp_path: Path) -> None:
    with collector(tmp_path / "logs") as logged, connect("127.0.0.1", logged.tcp) as probe:
        count = 0

        def ask() -> None:
            nonlocal count
            count += 1
            probe.sendall(counted(b"<22>probe"))
            logged.lines(count, "mail")

        ask()
        open_files = logged.program.open_files()
        message = counted(b"<22>abcdef")
        for end in range(len(message)):
            for leave in (reset, socket.socket.close):
                sock = connect("127.0.0.1", logged.tcp)
                sock.sendall(message[:end])
                leave(sock)
        settles(logged.program, open_files, ask)


@no_hangup
def test_sighup_opens_the_files_again(tmp_path: Path) -> None:
    with collector(tmp_path / "logs") as logged:
        datagrams(logged.port, b"<14>one")
        assert logged.lines(1) == ["info one"]
        path = logged.directory / "127.0.0.1" / "user.log"
        path.rename(tmp_path / "rotated")
        logged.program.send_signal(signal.SIGHUP)
        while not path.exists():
            datagrams(logged.port, b"<14>two")
        assert (tmp_path / "rotated").read_text().splitlines()[0].endswith("one")


def test_a_disk_that_fails(tmp_path: Path) -> None:
    """A host whose directory is a file: its messages are lost, and the rest goes on."""
    directory = tmp_path / "logs"
    directory.mkdir()
    (directory / "127.0.0.1").write_bytes(b"")
    with python(EXAMPLES / NAME, "--port", "0", "--tcp", "0", str(directory)) as program:
        port = program.port(r"^listening on 127\.0\.0\.1:(\d+)$")
        datagrams(port, b"<14>lost")
        program.complains(b"1 messages may be lost: ")
        (directory / "127.0.0.1").unlink()
        datagrams(port, b"<14>kept")
        Collector(directory, program, port).lines(1)
        stop(program)


# The end.


def test_what_has_come_is_written_before_the_end(tmp_path: Path) -> None:
    with collector(tmp_path / "logs", "--grace", "30") as logged, connect("127.0.0.1", logged.tcp) as sock:
        sock.sendall(counted(b"<14>x") * 3_000)
        sock.shutdown(socket.SHUT_WR)
    assert len(logged.lines(3_000)) == 3_000


def test_an_idle_connection_and_half_a_message_delay_the_end_for_the_grace_only(tmp_path: Path) -> None:
    with ExitStack() as clients:
        with collector(tmp_path / "logs", "--grace", "0.1") as logged:
            clients.enter_context(connect("127.0.0.1", logged.tcp))
            sock = clients.enter_context(connect("127.0.0.1", logged.tcp))
            sock.sendall(counted(b"<14>whole") + b"100 half")
            assert logged.lines(1) == ["info whole"]
        assert logged.lines(1) == ["info whole"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM kills there")
def test_sigterm(tmp_path: Path) -> None:
    with python(EXAMPLES / NAME, "--port", "0", "--tcp", "0", str(tmp_path)) as program:
        program.announced("^listening on ")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0


@no_unix
def test_bad_arguments(tmp_path: Path) -> None:
    with python(EXAMPLES / NAME, str(tmp_path / "none")) as program:
        assert program.wait() == 2
        assert b"is not a directory" in program.stderr()
    args = ["--port", "0", "--tcp", "0", "--unix", str(tmp_path / "none" / "log"), str(tmp_path)]
    with python(EXAMPLES / NAME, *args) as program:
        assert program.wait() == 1
        assert program.stderr().startswith(b"cannot listen")
    assert os.listdir(tmp_path) == []
