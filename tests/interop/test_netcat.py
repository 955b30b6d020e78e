"""socket2 and OpenBSD's nc, each as server and client of the other."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2

from ..machine import needs_ipv6
from .peers import Program, beside, call, echo_all, give_all, needs, pattern, run, take_all

FILE = pattern(20, 1_000_000)
LISTENING = r"^Listening on \S+ (\d+)$"
BOUND = r"^Bound on \S+ (\d+)$"


@pytest.fixture
def nc() -> str:
    return needs("nc")


def shout(conn: socket2.TCP) -> Generator[Any, Any, None]:
    """Send back each line in capitals as soon as it arrives."""
    with conn:
        unfinished = b""
        while data := (yield from conn.recv(100)):
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                yield from conn.sendall(line.upper() + b"\n")


def test_lines_from_nc(nc: str) -> None:
    lines = b"".join(b"line %d\n" % at for at in range(1000))

    async def serve() -> None:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        command = [nc, "-N", "127.0.0.1", str(listener.local_address[1])]
        with beside(call, command, lines) as client, listener:
            await socket2.newthread(shout, await listener.accept()).join()
        assert client.outcome().stdout == lines.upper()

    run(serve)


def test_a_file_from_nc_and_back(nc: str) -> None:
    async def serve() -> None:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        command = [nc, "-N", "127.0.0.1", str(listener.local_address[1])]
        with beside(call, command, FILE) as client, listener:
            await echo_all(await listener.accept())
        assert client.outcome().stdout == FILE

    run(serve)


@needs_ipv6
def test_nc_half_closes_and_gets_an_answer(nc: str) -> None:
    async def serve() -> None:
        listener = socket2.tcp("inet6")
        listener.listen("::1")
        command = [nc, "-N", "::1", str(listener.local_address[1])]
        with beside(call, command, b"question") as client, listener, await listener.accept() as conn:
            assert await take_all(conn) == b"question"
            await conn.sendall(b"answer")
        assert client.outcome().stdout == b"answer"

    run(serve)


def test_files_to_an_nc_that_listens_and_from_it(nc: str) -> None:
    down = pattern(21, 1_000_000)
    with Program([nc, "-l", "-N", "-v", "-n", "127.0.0.1", "0"], stdin=down, announces="stderr") as server:
        port = server.port(LISTENING)

        async def send(conn: socket2.TCP) -> None:
            await conn.sendall(FILE)

        async def visit() -> None:
            with socket2.tcp() as conn:
                await conn.connect("127.0.0.1", port)
                writer = socket2.newthread(send, conn)
                assert await take_all(conn) == down
                await writer.join()
                # End the stream only now: a listening nc exits when it sees the end, even if it still has data to send.
                conn.shutdown(socket.SHUT_WR)

        run(visit)
        assert server.wait() == 0
        assert server.stdout() == FILE


def test_nc_sees_our_half_close(nc: str) -> None:
    with Program([nc, "-l", "-N", "-v", "-n", "127.0.0.1", "0"], stdin=b"answer", announces="stderr") as server:
        port = server.port(LISTENING)

        async def visit() -> bytes:
            with socket2.tcp() as conn:
                await conn.connect("127.0.0.1", port)
                await give_all(conn, b"question")
                return await take_all(conn)

        assert run(visit) == b"answer"
        assert server.wait() == 0
        assert server.stdout() == b"question"


def test_a_datagram_from_nc(nc: str) -> None:
    async def serve() -> None:
        with socket2.udp() as sock:
            sock.bind("127.0.0.1")
            command = [nc, "-u", "-W", "1", "127.0.0.1", str(sock.getsockname()[1])]
            with beside(call, command, b"question") as client:
                data, sender = await sock.recvfrom(100)
                assert data == b"question"
                await sock.sendto(b"answer", sender)
        assert client.outcome().stdout == b"answer"

    run(serve)


def test_a_datagram_to_nc(nc: str) -> None:
    command = [nc, "-u", "-l", "-v", "-n", "-W", "2", "127.0.0.1", "0"]  # it exits after two datagrams
    with Program(command, stdin=b"answer", announces="stderr") as server:
        port = server.port(BOUND)

        async def visit() -> bytes:
            with socket2.udp() as sock:
                await sock.connect("127.0.0.1", port)
                await sock.send(b"question")
                answer = await sock.recv(100)
                await sock.send(b", end")
                return answer

        assert run(visit) == b"answer"
        assert server.wait() == 0
        assert server.stdout() == b"question, end"


def test_a_unix_socket_from_nc(nc: str, tmp_path: Path) -> None:
    path = str(tmp_path / "søcket")

    async def serve() -> None:
        listener = socket2.unix()
        assert isinstance(listener, socket2.TCP)
        listener.listen(path)
        with beside(call, [nc, "-N", "-U", path], FILE) as client, listener:
            await echo_all(await listener.accept())
        assert client.outcome().stdout == FILE

    run(serve)


def test_a_unix_socket_to_nc(nc: str, tmp_path: Path) -> None:
    path = str(tmp_path / "søcket")
    with Program([nc, "-l", "-N", "-v", "-U", path], stdin=FILE, announces="stderr") as server:
        server.announced("istening")

        async def visit() -> bytes:
            with socket2.unix() as conn:
                assert isinstance(conn, socket2.TCP)
                await conn.connect(path)
                await conn.sendall(b"question")
                return await take_all(conn)

        assert run(visit) == FILE
        assert server.wait() == 0
        assert server.stdout() == b"question"


def test_a_unix_datagram_from_nc(nc: str, tmp_path: Path) -> None:
    async def serve() -> None:
        with socket2.unix("dgram") as sock:
            assert isinstance(sock, socket2.UDP)
            sock.bind(str(tmp_path / "søcket"))
            command = [nc, "-u", "-U", "-W", "1", "-s", str(tmp_path / "nc"), str(tmp_path / "søcket")]
            with beside(call, command, b"question") as client:
                data, sender = await sock.recvfrom(100)
                assert (data, sender) == (b"question", str(tmp_path / "nc"))
                await sock.sendto(b"answer", sender)
        assert client.outcome().stdout == b"answer"

    run(serve)
