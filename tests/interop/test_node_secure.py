"""socket2.net.tls and Node's own tls, each as server and client of the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socket2 import call_in_thread
from socket2.net import tls
from socket2.net.tls import TLSSocket

from ..net.scene import all_of, ended, record, run, started, until
from ..tls.certificates import versions
from .alike.papers import write_papers
from .peers import LIMIT_S, Program, needs
from .test_node import PEER, as_listener, as_pipe, as_thread, given, said, sha

BIG = 3_000_000


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    write_papers(folder)
    return folder


@pytest.fixture(autouse=True)
def node(papers: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PAPERS", str(papers))
    return needs("node")


def server_of(papers: Path, connection: Any = None, **options: Any) -> tls.Server:
    return tls.createServer({"cert": papers / "localhost.pem", **options}, connection)


def client_of(papers: Path, peer: Program, **options: Any) -> TLSSocket:
    port = peer.port(r"listening on .*:(\d+)")
    return tls.connect(port, "127.0.0.1", {"ca": papers / "ca.pem", "servername": "localhost", **options})


@versions
@pytest.mark.parametrize("echo", [as_pipe, as_thread, as_listener])
def test_node_asks_us(
    node: str, papers: Path, echo: Callable[[Any], Any], version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLS_VERSION", version)
    protocols = []

    async def main() -> None:
        async with server_of(papers, echo, allowHalfOpen=True) as server:
            server.prependListener("secureConnection", lambda conn: protocols.append(conn.getProtocol()))
            with Program([node, PEER, "ask", str(await started(server)), str(BIG)]) as peer:
                assert await said(peer) == sha(given(BIG))

    run(main)
    assert protocols == [version]


def test_node_answers_when_we_have_ended(node: str, papers: Path) -> None:
    """Half-open: we end first, and still receive the thanks."""

    async def main() -> None:
        async with server_of(papers) as server:
            with Program([node, PEER, "take", str(await started(server))]) as peer:
                conn = await server.accept()
                conn.end(given(BIG))
                assert await all_of(conn) == b"thank you"
                await ended(conn)
                assert await said(peer) == sha(given(BIG))

    run(main)


def test_node_pauses(node: str, papers: Path) -> None:
    async def main() -> None:
        async with server_of(papers) as server:
            with Program([node, PEER, "pause", str(await started(server))]) as peer:
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


def test_node_does_not_trust_us(node: str, papers: Path) -> None:
    """Node's client makes the handshake, and leaves then."""
    log: list[Any] = []

    async def main() -> None:
        async with tls.createServer({"cert": papers / "stranger.pem"}) as server:
            record(server, ["tlsClientError"], log)
            server.on("secureConnection", lambda conn: conn.on("error", log.append) and None)
            with Program([node, PEER, "ask", str(await started(server)), "1"]) as peer:
                assert await call_in_thread(peer.wait, LIMIT_S) == 1
                assert b"UNABLE_TO_VERIFY_LEAF_SIGNATURE" in peer.stderr()

    run(main)


@versions
def test_we_ask_node(node: str, papers: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_VERSION", version)

    async def main() -> None:
        with Program([node, PEER, "echo", "0"]) as peer:
            client = client_of(papers, peer)
            client.end(given(BIG))
            assert await all_of(client) == given(BIG)
            await ended(client)

    run(main)


def test_we_answer_when_node_has_ended(node: str, papers: Path) -> None:
    async def main() -> None:
        with Program([node, PEER, "give", "0", str(BIG)]) as peer:
            client = client_of(papers, peer)
            log = record(client, ["end", "finish", "close"])
            assert await all_of(client) == given(BIG)
            await until(log, "close")
            assert log == ["end", "finish", ("close", False)]

    run(main)


@pytest.mark.parametrize("role", ["hash", "slow"])
def test_we_give_and_node_takes_its_time(node: str, papers: Path, role: str) -> None:
    async def main() -> None:
        with Program([node, PEER, role, "0"]) as peer:
            client = client_of(papers, peer)
            assert client.write(given(BIG)) is False
            client.end()
            assert not client.writable
            assert await all_of(client) == sha(given(BIG))
            await ended(client)

    run(main)


@versions
def test_sessions_of_node(node: str, papers: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come without any data, and are resumed."""
    monkeypatch.setenv("TLS_VERSION", version)

    async def main() -> None:
        rules = tls.createSecureContext(ca=papers / "ca.pem")
        with Program([node, PEER, "echo", "0"]) as peer:
            first = client_of(papers, peer, secureContext=rules, ca=None)
            session = await first.wait("session")
            first.end()
            second = client_of(papers, peer, secureContext=rules, ca=None, session=session)
            await second.wait("secureConnect")
            assert (first.isSessionReused(), second.isSessionReused(), second.authorized) == (False, True, True)
            second.end("hello")
            assert await all_of(second) == b"hello"
            first.resume()
            await ended(first, second)

    run(main)
