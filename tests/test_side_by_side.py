"""The programs of docs/side-by-side.md: with each library they do the same, and the page counts their lines right."""

from __future__ import annotations

import ast
import importlib.util
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from .interop.peers import ROOT, Program, beside, connect, python, receive_all, receive_exactly

PROGRAMS = ROOT / "examples" / "side_by_side"
LIBRARIES = ["socket2", "asyncio", "trio", "curio"]
KINDS = ["echo", "chat", "proxy"]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the programs stop by POSIX signals")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "curio" and sys.version_info >= (3, 12):
        pytest.skip("curio does not run on Python 3.12 or later")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@contextmanager
def server(library: str, kind: str, *args: str) -> Iterator[tuple[Program, int]]:
    with python(PROGRAMS / f"{library}_{kind}.py", "0", *args) as program:
        yield program, program.port(r"^listening on (\d+)$")


def ends(program: Program) -> None:
    program.send_signal(signal.SIGTERM)
    assert program.wait() == 0, program.stderr().decode()


def refuses(port: int) -> None:
    """Wait until nobody listens on the port."""
    while True:
        try:
            connect("127.0.0.1", port).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass


def is_over(sock: socket.socket) -> bool:
    """Receive until the connection is over: by its end or by a reset."""
    try:
        receive_all(sock)
    except ConnectionResetError:
        pass
    return True


def test_echo_closes_a_silent_client(library: str) -> None:
    with server(library, "echo", "0.2") as (program, port):
        with connect("127.0.0.1", port) as sock:
            sock.sendall(b"a line\n")
            assert receive_exactly(sock, 7) == b"a line\n"
            assert is_over(sock)
        ends(program)
        assert program.stdout().endswith(b"cut off: 0\n")


def test_echo_stops_when_the_last_client_has_finished(library: str) -> None:
    with server(library, "echo", "60") as (program, port):
        with connect("127.0.0.1", port) as sock:
            sock.sendall(b"1")
            assert receive_exactly(sock, 1) == b"1"
            program.send_signal(signal.SIGTERM)
            refuses(port)
            sock.sendall(b"2")
            assert receive_exactly(sock, 1) == b"2"
        assert program.wait() == 0
        assert program.stdout().endswith(b"cut off: 0\n")


def test_a_second_signal_cuts_the_rest_off(library: str) -> None:
    with server(library, "echo", "60") as (program, port), connect("127.0.0.1", port) as sock:
        sock.sendall(b"1")
        assert receive_exactly(sock, 1) == b"1"
        program.send_signal(signal.SIGTERM)
        refuses(port)
        program.send_signal(signal.SIGTERM)
        assert is_over(sock)
        assert program.wait() == 0
        assert program.stdout().endswith(b"cut off: 1\n")


def meet(one: socket.socket, other: socket.socket) -> None:
    """Let two clients of the chat hear each other."""
    other.settimeout(0.05)
    heard = b""
    while not heard.endswith(b"\n"):
        one.sendall(b"hello?\n")
        try:
            heard = other.recv(100)
        except TimeoutError:  # the server does not know `other` yet
            pass
    other.settimeout(30)


def hears(sock: socket.socket, line: bytes) -> None:
    """Receive lines up to this one. What others have said may arrive in the same piece, before it or after it."""
    heard = b"\n"
    while b"\n" + line not in heard:
        more = sock.recv(65536)
        assert more, heard
        heard += more


def test_chat(library: str) -> None:
    with server(library, "chat") as (program, port), ExitStack() as stack:
        one, two, three = (stack.enter_context(connect("127.0.0.1", port)) for _ in range(3))
        meet(one, two)
        meet(two, three)
        meet(three, one)
        for sock in (one, two, three):
            sock.sendall(b"%d\n" % sock.fileno())
            for other in {one, two, three} - {sock}:
                hears(other, b"%d\n" % sock.fileno())
        three.close()
        one.sendall(b"without the third\n")
        hears(two, b"without the third\n")
        ends(program)
        assert is_over(one)
        assert is_over(two)


def test_chat_drops_a_client_that_does_not_read(library: str) -> None:
    with server(library, "chat") as (program, port), ExitStack() as stack:
        speaker, listener, deaf = (stack.enter_context(connect("127.0.0.1", port)) for _ in range(3))
        meet(speaker, deaf)
        meet(speaker, listener)
        for at in range(20_000):
            line = b"%0900d\n" % at
            speaker.sendall(line)
            hears(listener, line)
        assert is_over(deaf)
        ends(program)


def echo_once(listener: socket.socket) -> None:
    """Answer a connection with what it has sent, after its half-close."""
    peer, _ = listener.accept()
    with peer:
        peer.sendall(receive_all(peer).upper())


def test_proxy_passes_on_the_end_of_each_direction(library: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        with server(library, "proxy", address) as (program, port):
            for _ in range(5):
                with beside(echo_once, upstream), connect("127.0.0.1", port) as sock:
                    sock.sendall(b"a" * 1_000_000)
                    sock.shutdown(socket.SHUT_WR)
                    assert receive_all(sock) == b"A" * 1_000_000
            ends(program)
            assert program.stderr() == b""


def test_proxy_limits_the_connections(library: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream, ExitStack() as stack:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        program, port = stack.enter_context(server(library, "proxy", address))
        clients = [stack.enter_context(connect("127.0.0.1", port)) for _ in range(3)]
        peers = [stack.enter_context(upstream.accept()[0]) for _ in range(2)]
        upstream.settimeout(0.2)
        with pytest.raises(TimeoutError):
            upstream.accept()
        upstream.settimeout(30)
        for at, client in enumerate(clients):
            client.sendall(b"%d" % at)
        peer_of = {receive_exactly(peer, 1): peer for peer in peers}
        first = min(peer_of)
        clients[int(first)].close()
        peer_of[first].close()
        last = stack.enter_context(upstream.accept()[0])
        assert receive_exactly(last, 1) == ({b"0", b"1", b"2"} - peer_of.keys()).pop()
        ends(program)


def test_proxy_survives_an_upstream_that_refuses(library: str) -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{refusing.getsockname()[1]}"
        with server(library, "proxy", address) as (program, port):
            for _ in range(5):
                with connect("127.0.0.1", port) as sock:
                    assert is_over(sock)
            ends(program)


def lines_of(name: str) -> int:
    """Count the lines of a program without its docstring, blank lines and comments."""
    text = (PROGRAMS / name).read_text()
    docstring = ast.parse(text).body[0]
    assert docstring.end_lineno is not None
    rest = text.splitlines()[docstring.end_lineno :]
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in rest)


def test_the_page_counts_lines_right() -> None:
    page = (ROOT / "docs" / "side-by-side.md").read_text()
    for kind in KINDS:
        row = re.search(rf"^\| {kind} \|(.*)\|$", page, re.M)
        assert row is not None
        assert [int(count) for count in row[1].split("|")] == [lines_of(f"{name}_{kind}.py") for name in LIBRARIES]
    programs = {f"{name}_{kind}.py" for name in LIBRARIES for kind in KINDS}
    assert {path.name for path in PROGRAMS.glob("*.py")} == programs
