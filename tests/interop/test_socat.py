"""socket2 and socat, each as server and client of the other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import socket2

from ..machine import needs_ipv6
from .peers import Program, beside, call, echo_all, give_all, needs, pattern, run, take_all

FILE = pattern(30, 1_000_000)
WAIT = "-t30"  # how long it waits for the answer after it has sent everything


@pytest.fixture
def socat() -> str:
    return needs("socat")


def unix_stream() -> socket2.TCP:
    sock = socket2.unix()
    assert isinstance(sock, socket2.TCP)
    return sock


async def echoed(conn: socket2.TCP, data: bytes) -> bytes:
    """Send data, and return what comes back."""
    writer = socket2.newthread(give_all, conn, data)
    back = await take_all(conn)
    await writer.join()
    return back


def test_tcp_from_socat(socat: str) -> None:
    async def serve() -> None:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        command = [socat, WAIT, "-", f"TCP4:127.0.0.1:{listener.local_address[1]}"]
        with beside(call, command, FILE) as client, listener:
            await echo_all(await listener.accept())
        assert client.outcome().stdout == FILE

    run(serve)


@needs_ipv6
def test_ipv6_from_socat(socat: str) -> None:
    async def serve() -> None:
        listener = socket2.tcp("inet6")
        listener.listen("::1")
        command = [socat, WAIT, "-", f"TCP6:[::1]:{listener.local_address[1]}"]
        with beside(call, command, b"hello") as client, listener:
            await echo_all(await listener.accept())
        assert client.outcome().stdout == b"hello"

    run(serve)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_unix_from_socat(socat: str, tmp_path: Path, abstract: bool) -> None:
    path = str(tmp_path / "søcket")

    async def serve() -> None:
        listener = unix_stream()
        listener.listen("\0" + path if abstract else path)
        where = f"ABSTRACT-CONNECT:{path}" if abstract else f"UNIX-CONNECT:{path}"
        with beside(call, [socat, WAIT, "-", where], FILE) as client, listener:
            await echo_all(await listener.accept())
        assert client.outcome().stdout == FILE

    run(serve)


def test_udp_from_socat(socat: str) -> None:
    async def serve() -> None:
        with socket2.udp() as sock:
            sock.bind("127.0.0.1")
            command = [socat, "-t0.5", "-", f"UDP4:127.0.0.1:{sock.getsockname()[1]}"]
            with beside(call, command, b"question") as client:
                data, sender = await sock.recvfrom(100)
                assert data == b"question"
                await sock.sendto(b"answer", sender)
        assert client.outcome().stdout == b"answer"

    run(serve)


def test_udp_to_socat(socat: str) -> None:
    with Program([socat, "-d", "-d", "UDP4-LISTEN:0,bind=127.0.0.1,fork", "PIPE"], announces="stderr") as server:
        port = server.port(r"listening on UDP AF=2 127\.0\.0\.1:(\d+)$")

        async def visit() -> None:
            with socket2.udp() as sock:
                await sock.connect("127.0.0.1", port)
                for at in range(20):
                    await sock.send(b"%d" % at)
                    assert await sock.recv(100) == b"%d" % at

        run(visit)


def test_tcp_to_a_socat_that_forks(socat: str) -> None:
    """One process per connection; all inherit one listener. There are 20 clients at once."""
    command = [socat, "-d", "-d", WAIT, "TCP4-LISTEN:0,bind=127.0.0.1,backlog=50,fork", "EXEC:cat"]
    with Program(command, announces="stderr") as server:
        port = server.port(r"listening on AF=2 127\.0\.0\.1:(\d+)$")

        async def visit(at: int) -> None:
            data = pattern(at, 200_000)
            with socket2.tcp() as conn:
                await conn.connect("127.0.0.1", port)
                assert await echoed(conn, data) == data

        async def visit_all() -> None:
            for visitor in [socket2.newthread(visit, at) for at in range(20)]:
                await visitor.join()

        run(visit_all)


def test_unix_to_a_socat_that_forks(socat: str, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    command = [socat, "-d", "-d", WAIT, f"UNIX-LISTEN:{path},backlog=1,fork", "EXEC:cat"]
    with Program(command, announces="stderr") as server:
        server.announced("listening on AF=1")

        async def visit(at: int) -> None:
            with unix_stream() as conn:
                await conn.connect(path)
                assert await echoed(conn, b"%d" % at) == b"%d" % at

        async def visit_all() -> None:
            for visitor in [socket2.newthread(visit, at) for at in range(20)]:
                await visitor.join()

        run(visit_all)


def test_what_socat_computes_of_what_we_send(socat: str) -> None:
    """The answer depends on every byte, and comes only after the end of the stream has arrived."""
    command = [socat, "-d", "-d", WAIT, "TCP4-LISTEN:0,bind=127.0.0.1", "EXEC:sha256sum"]
    with Program(command, announces="stderr") as server:
        port = server.port(r"listening on AF=2 127\.0\.0\.1:(\d+)$")

        async def visit() -> bytes:
            with socket2.tcp() as conn:
                await conn.connect("127.0.0.1", port)
                await give_all(conn, FILE)
                return await take_all(conn)

        assert run(visit).split()[0] == hashlib.sha256(FILE).hexdigest().encode()
        assert server.wait() == 0
