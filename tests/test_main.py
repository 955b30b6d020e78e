"""The command line, run as users run it."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

import pollers
import socket2

from .interop.peers import LIMIT_S, ROOT, Program, connect, pattern, receive_exactly
from .machine import needs_ipv6

STOP_S = 4.0
PYTHON_M = [sys.executable, "-m", "socket2"]
POLLERS = pollers.available()
SEARCH = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def called(choice: str) -> str:
    """Return the name of the chosen poller: to users the native one is epoll."""
    return {"native": "epoll"}.get(choice, choice)


def call(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends by itself."""
    return subprocess.run(
        [*PYTHON_M, *args], env=os.environ | SEARCH | env, capture_output=True, timeout=LIMIT_S, check=False, text=True
    )


# It reports each step that takes long, as one may on a busy machine.
WATCHDOG = re.compile(
    rb"thread '\w+' has been running for .*; it is here:\n(?:  .*\n)+|thread '\w+' ran for .* and blocked the loop\n"
)


@contextmanager
def echo(*args: str, **env: str) -> Iterator[tuple[Program, int]]:
    """Run an echo server. At the end of the block Ctrl-C ends it: soon, with status 0 and no output."""
    with Program([*PYTHON_M, "echo", *args], env=SEARCH | env) as program:
        yield program, program.port(r"^echo server on \S+:(\d+), (?:TLS, )?poller ")
        program.send_signal(signal.SIGINT)
        began = monotonic()
        status = program.wait()
        assert (status, WATCHDOG.sub(b"", program.stderr())) == (0, b"")
        assert monotonic() - began < STOP_S


# python -m socket2


def test_without_a_command_it_says_what_is_here() -> None:
    poller = pollers.choose()
    poller.shutdown()
    done = call()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"socket2 {socket2.__version__}, Python {platform.python_version()}"
    assert lines[1].startswith(f"pollers: {', '.join(POLLERS)}; chosen: {poller.name}")
    assert lines[1].endswith(" (checked)") == pollers.CHECKING
    assert lines[2].startswith("native: ")
    assert len(lines) == 3


@pytest.mark.skipif("native" not in POLLERS, reason="the parts in C are not built, or switched off")
@pytest.mark.parametrize(
    "missing", [("pollers._once",), ("socket2._shortcut",), ("pollers._once", "socket2._stepping")]
)
def test_it_says_which_parts_in_c_are_missing(missing: tuple[str, ...]) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.modules |= dict.fromkeys({missing})\n"
        "sys.argv = ['socket2']\n"
        "runpy.run_module('socket2', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | SEARCH, capture_output=True, timeout=LIMIT_S, text=True
    )
    assert done.stderr == ""
    names = " and ".join(name.split(".")[1] for name in missing)
    assert done.stdout.splitlines()[2:] == [f"native: yes, without {names}"]


@pytest.mark.parametrize("name", POLLERS)
def test_it_names_the_poller_that_the_environment_chooses(name: str) -> None:
    assert f"; chosen: {called(name)}\n" in call(SOCKET2_POLLER=name, SOCKET2_CHECK="0").stdout


def test_it_says_that_checking_is_on() -> None:
    assert " (checked)\n" in call(SOCKET2_CHECK="1").stdout


@pytest.mark.parametrize("args", [(), ("echo", "127.0.0.1:0")], ids=["describe", "echo"])
def test_a_poller_that_does_not_exist_is_told_in_one_line(args: tuple[str, ...]) -> None:
    done = call(*args, SOCKET2_POLLER="nonsense")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "nonsense" in done.stderr
    assert all(name in done.stderr for name in POLLERS)


def test_the_version() -> None:
    done = call("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"socket2 {socket2.__version__}\n", "")


def test_help_names_the_commands() -> None:
    done = call("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "echo" in done.stdout


def test_an_unknown_command_is_an_error_of_usage() -> None:
    done = call("serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m socket2")


# python -m socket2 echo


@pytest.mark.parametrize("name", POLLERS)
def test_an_echo_server_answers(name: str) -> None:
    data = pattern(1, 100_000)
    with echo("127.0.0.1:0", SOCKET2_POLLER=name) as (program, port):
        program.announced(f"nc 127.0.0.1 {port}")
        assert f", poller {called(name)}\n".encode() in program.stdout()
        with connect("127.0.0.1", port) as one, connect("127.0.0.1", port) as two:
            one.sendall(b"one")
            two.sendall(data)
            assert receive_exactly(two, len(data)) == data
            assert receive_exactly(one, 3) == b"one"
            two.shutdown(socket.SHUT_WR)
            assert two.recv(1) == b""


def test_an_echo_server_goes_on_after_a_client_that_broke_off() -> None:
    with echo("127.0.0.1:0") as (_, port):
        with connect("127.0.0.1", port) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets
            client.sendall(b"x")
        with connect("127.0.0.1", port) as client:
            client.sendall(b"hello")
            assert receive_exactly(client, 5) == b"hello"


def test_ctrl_c_ends_a_server_that_has_done_nothing_yet() -> None:
    with echo("127.0.0.1:0"):
        pass


@pytest.mark.parametrize("check", ["0", "1"], ids=["bare", "checked"])
def test_ctrl_c_ends_a_server_with_clients(check: str) -> None:
    with ExitStack() as clients, echo("127.0.0.1:0", SOCKET2_CHECK=check) as (_, port):
        for _ in range(3):
            client = clients.enter_context(connect("127.0.0.1", port))
            client.sendall(b"hello")
            assert receive_exactly(client, 5) == b"hello"


@needs_ipv6
def test_an_echo_server_on_inet6() -> None:
    with echo("[::1]:0") as (program, port):
        assert program.stdout().startswith(f"echo server on [::1]:{port}, ".encode())
        with connect("::1", port) as client:
            client.sendall(b"hello")
            assert receive_exactly(client, 5) == b"hello"


@pytest.mark.parametrize("host", ["", "*", "localhost"])
def test_an_echo_server_on_hosts_that_go_without_saying(host: str) -> None:
    with echo(f"{host}:0") as (_, port), connect("127.0.0.1", port) as client:
        client.sendall(b"hello")
        assert receive_exactly(client, 5) == b"hello"


def test_an_echo_server_on_the_name_of_this_machine() -> None:
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, 0, socket.AF_INET)
    except socket.gaierror:
        pytest.skip(f"this machine does not know its own name, {name!r}")
    with echo(f"{name}:0") as (_, port), connect(name, port) as client:
        client.sendall(b"hello")
        assert receive_exactly(client, 5) == b"hello"


def test_a_host_that_does_not_exist_is_told_in_one_line() -> None:
    done = call("echo", "nosuchhost.invalid:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("python -m socket2: ")
    assert done.stderr.count("\n") == 1
    assert "yield" not in done.stderr


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call("echo", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("python -m socket2: ")
    assert done.stderr.count("\n") == 1
    assert "in use" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "[::1]",
        "127.0.0.1:8 ",
        "127.0.0.1:0x50",
    ],
)
def test_something_that_is_no_address_is_an_error_of_usage(address: str) -> None:
    done = call("echo", address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m socket2 echo")
    assert f"{address!r} is not HOST:PORT" in done.stderr


def test_an_echo_server_needs_an_address() -> None:
    done = call("echo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "HOST:PORT" in done.stderr
