"""`python -m socket2 echo --tls`, run as users run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from ..interop.peers import LIMIT_S, Program, connect, receive_exactly
from ..test_main import PYTHON_M, SEARCH, call, echo
from .certificates import Authority


def ask(port: int, context: ssl.SSLContext, name: str = "localhost") -> bytes:
    """Send a line and return the answer, after a close_notify in both directions."""
    with connect("127.0.0.1", port) as plain, context.wrap_socket(plain, server_hostname=name) as conn:
        conn.sendall(b"hello")
        received = receive_exactly(conn, 5)
        conn.unwrap().close()
    return received


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "test.example"])
def test_it_makes_a_certificate_that_clients_can_check(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    with echo("127.0.0.1:0", "--tls", TMPDIR=str(folder), TEMP=str(folder)) as (program, port):
        program.announced("Ctrl-C")
        text = program.stdout().decode()
        found = re.search(rf"openssl s_client -quiet -connect 127\.0\.0\.1:{port} -CAfile (\S+) ", text)
        assert found is not None
        assert "for development only" in text
        context = ssl.create_default_context(cafile=found[1])
        if name == "test.example":
            with pytest.raises(ssl.SSLCertVerificationError, match="test.example"):
                ask(port, context, name)
        else:
            assert ask(port, context, name) == b"hello"
        assert os.stat(Path(found[1]).parent).st_mode & 0o77 == 0 or sys.platform == "win32"
    assert list(folder.glob("socket2-echo-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM for others")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_server_that_a_signal_ends_leaves_no_key_behind(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    command = [*PYTHON_M, "echo", "--tls", "127.0.0.1:0"]
    with Program(command, env=SEARCH | {"TMPDIR": str(tmp_path)}) as program:
        program.announced("Ctrl-C")
        assert list(tmp_path.glob("socket2-echo-*"))
        program.send_signal(number)
        assert program.wait() == (0 if name == "SIGINT" else 128 + number)
        assert program.stderr() == b""
    assert list(tmp_path.glob("socket2-echo-*")) == []


@pytest.mark.parametrize("apart", [False, True], ids=["key in the same file", "key apart"])
def test_it_takes_a_certificate(apart: bool, authority: Authority, tmp_path: Path) -> None:
    options = ["--certificate", str(authority.ours)]
    if apart:
        key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
        end = "-----END EC PRIVATE KEY-----\n"
        first, rest = authority.ours.read_text().split(end)
        key.write_text(first + end)
        chain.write_text(rest)
        options = ["--certificate", str(chain), "--key", str(key)]
    with echo("127.0.0.1:0", "--tls", *options) as (program, port):
        program.announced("Ctrl-C")
        assert b"development" not in program.stdout()
        assert ask(port, authority.client()) == b"hello"


def test_it_goes_on_after_a_client_that_speaks_no_tls(authority: Authority) -> None:
    with echo("127.0.0.1:0", "--tls", "--certificate", str(authority.ours)) as (_, port):
        with connect("127.0.0.1", port) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            while client.recv(100):
                pass
        assert ask(port, authority.client()) == b"hello"


def test_without_trustme_it_says_what_to_install() -> None:
    text = "import runpy, sys; sys.modules['trustme'] = None; sys.argv = ['socket2', 'echo', '--tls', '127.0.0.1:0']"
    command = [sys.executable, "-c", f"{text}; runpy.run_module('socket2', run_name='__main__')"]
    done = subprocess.run(command, env=os.environ | SEARCH, capture_output=True, timeout=LIMIT_S, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    needs = "--tls without --certificate needs the package trustme: pip install 'socket2[certificate]'"
    assert done.stderr == f"python -m socket2: {needs}\n"


def test_a_certificate_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, authority: Authority) -> None:
    nothing, garbage = tmp_path / "nothing.pem", tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    for path, reason, options in (
        (nothing, "No such file or directory", [nothing]),
        (garbage, "it contains no certificate in PEM", [garbage]),
        (nothing, "No such file or directory", [authority.ours, "--key", nothing]),
        (nothing, "No such file or directory", [nothing, "--key", authority.ours]),
        (garbage, "it contains no private key in PEM", [authority.ours, "--key", garbage]),
    ):
        done = call("echo", "127.0.0.1:0", "--tls", "--certificate", *map(str, options))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"python -m socket2: {path}: {reason}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--certificate", "x"], "--certificate needs --tls"),
        (["--tls", "--key", "x"], "--key needs --certificate"),
        (["--key", "x"], "--key needs --certificate"),
    ],
)
def test_an_option_that_needs_another_is_an_error_of_usage(options: list[str], message: str) -> None:
    done = call("echo", "127.0.0.1:0", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
