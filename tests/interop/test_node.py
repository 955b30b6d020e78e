"""socket2.net and Node's own net, each as server and client of the other."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from socket2 import call_in_thread, net, sleep
from socket2.net import Server, Socket

from ..net.scene import all_of, ended, failed, record, run, started, until
from .peers import LIMIT_S, Program, needs

PEER = str(Path(__file__).with_name("node_peer.js"))
TEXT = b"a pattern in which nothing can be moved unnoticed: 0123456789 "
BIG = 20_000_000
CROWD = 1000


def given(size: int) -> bytes:
    """Return what node_peer.js sends."""
    return (TEXT * (size // len(TEXT) + 1))[:size]


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@pytest.fixture
def node() -> str:
    return needs("node")


@pytest.fixture(params=["tcp", "unix"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where to listen: port 0, or a path."""
    return str(tmp_path / "socket") if request.param == "unix" else "0"


async def listening(server: Server, place: str) -> str:
    """Let our server listen. Return the arguments for Node's client."""
    if place != "0":
        await started(server, place)
        return place
    return str(await started(server))


def place_of(peer: Program, place: str) -> tuple[Any, ...]:
    """Return where Node's server listens."""
    port = peer.port(r"listening on .*:(\d+)")
    return (place,) if place != "0" else (port, "127.0.0.1")


async def said(peer: Program) -> bytes:
    """Wait until Node's client has ended. Return what it has printed."""
    assert await call_in_thread(peer.wait, LIMIT_S) == 0, peer.stderr()
    return peer.stdout().strip()


# Our server, Node's client.


def as_pipe(conn: Socket) -> None:
    conn.pipe(conn)


async def as_thread(conn: Socket) -> None:
    async for data in conn:
        await conn.send(data)
    conn.end()


def as_listener(conn: Socket) -> None:
    """Writes at the speed of the peer."""

    def write(data: bytes) -> None:
        if not conn.write(data):
            conn.pause()

    conn.on("data", write)
    conn.on("drain", conn.resume)
    conn.on("end", conn.end)


@pytest.mark.parametrize("echo", [as_pipe, as_thread, as_listener])
def test_node_asks_us(node: str, place: str, echo: Callable[[Socket], Any]) -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}, echo) as server:
            with Program([node, PEER, "ask", await listening(server, place), str(BIG)]) as peer:
                assert await said(peer) == sha(given(BIG))

    run(main)


def test_node_answers_when_we_have_ended(node: str, place: str) -> None:
    """Half-open: we end first, and still receive the thanks."""

    async def main() -> None:
        async with net.createServer() as server:
            with Program([node, PEER, "take", await listening(server, place)]) as peer:
                conn = await server.accept()
                conn.end(given(BIG))
                assert await all_of(conn) == b"thank you"
                await ended(conn)
                assert await said(peer) == sha(given(BIG))

    run(main)


def test_node_pauses(node: str, place: str) -> None:
    async def main() -> None:
        async with net.createServer() as server:
            with Program([node, PEER, "pause", await listening(server, place)]) as peer:
                conn = await server.accept()
                conn.resume()
                written = 1
                while conn.write(given(BIG)):  # the kernel may have much room, and Node may read meanwhile
                    written += 1
                assert conn.writableLength > 0
                await conn.wait("drain")
                conn.end()
                assert await said(peer) == sha(given(BIG) * written)

    run(main)


def test_we_time_out(node: str, place: str) -> None:
    async def main() -> None:
        async with net.createServer() as server:
            with Program([node, PEER, "wait", await listening(server, place)]) as peer:
                conn = await server.accept()
                conn.resume()
                conn.setTimeout(50, lambda: conn.end("timeout"))
                assert await said(peer) == b"timeout"

    run(main)


@pytest.fixture
def room() -> Iterator[None]:
    """Allow enough descriptors for a crowd, here and in Node, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CROWD + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} descriptors, the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("room")
def test_node_comes_a_thousand_times(node: str) -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": True}, as_pipe) as server:
            with Program([node, PEER, "many", await listening(server, "0"), str(CROWD)]) as peer:
                assert await said(peer) == b"all"

    run(main)


# Node's server, our client.


def test_we_ask_node(node: str, place: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "echo", place]) as peer:
            client = net.connect(*place_of(peer, place))
            client.end(given(BIG))
            assert await all_of(client) == given(BIG)
            await ended(client)

    run(main)


def test_we_answer_when_node_has_ended(node: str, place: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "give", place, str(BIG)]) as peer:
            client = net.connect(*place_of(peer, place))
            log = record(client, ["end", "finish", "close"])
            assert await all_of(client) == given(BIG)
            await until(log, "close")
            assert log == ["end", "finish", ("close", False)]

    run(main)


@pytest.mark.parametrize("role", ["hash", "slow"])
def test_we_give_and_node_takes_its_time(node: str, place: str, role: str) -> None:
    async def main() -> None:
        with Program([node, PEER, role, place]) as peer:
            client = net.connect(*place_of(peer, place))
            assert client.write(given(BIG)) is False
            client.end()
            assert not client.writable
            assert await all_of(client) == sha(given(BIG))
            await ended(client)

    run(main)


def test_we_pause(node: str, place: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "give", place, str(BIG)]) as peer:
            client = net.connect(*place_of(peer, place))
            client.pause()
            await client.wait("connect")
            parts: list[bytes] = []

            async def take(data: bytes) -> None:
                parts.append(data)
                client.pause()
                await sleep(0)
                client.resume()

            client.on("data", take)
            client.resume()
            await client.wait("close")
            assert b"".join(parts) == given(BIG)

    run(main)


def test_node_times_out(node: str, place: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "silent", place]) as peer:
            client = net.connect(*place_of(peer, place))
            assert await all_of(client) == b"timeout"
            await ended(client)

    run(main)


def test_node_resets(node: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "reset", "0"]) as peer:
            client = net.connect(*place_of(peer, "0"))
            await client.send("hello")
            assert (await failed(client.recv())).code == "ECONNRESET"
            assert client.destroyed

    run(main)


@pytest.mark.usefixtures("room")
def test_we_come_a_thousand_times(node: str) -> None:
    async def main() -> None:
        with Program([node, PEER, "echo", "0"]) as peer:
            where = place_of(peer, "0")
            clients = [net.connect(*where) for _ in range(CROWD)]
            for number, client in enumerate(clients):
                client.end(f"client {number}")
            for number, client in enumerate(clients):
                assert await all_of(client) == f"client {number}".encode()
            await ended(*clients)

    run(main)
