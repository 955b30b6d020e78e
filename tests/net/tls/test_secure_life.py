"""Sockets and servers with TLS from the beginning to the end: with threads, in handshakes, over other sockets."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from socket2 import Closed, net, newthread
from socket2.net import Socket, tls
from socket2.net.tls import TLSSocket

from ...interop.peers import pattern
from ...tls.certificates import Authority, versions
from ..scene import Log, all_of, ended, failed, ignore, record, run, started, turns, until
from .secure_scene import client_of, pair, server_of

MUCH = pattern(96, 300_000)


def test_net_alone_needs_no_ssl() -> None:
    code = (
        "import sys, socket2.net; assert 'ssl' not in sys.modules; import socket2.net.tls; assert 'ssl' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_threads(authority: Authority) -> None:
    async def answer(server: tls.Server) -> None:
        async for conn in server:
            assert isinstance(conn, TLSSocket)
            assert await conn.recv() == b"hello"
            assert await conn.send(b"bye") == 3
            conn.end()

    async def main() -> None:
        async with server_of(authority) as server:
            port = await started(server)
            newthread(answer, server)
            client = client_of(authority, port)
            assert await client.send("hello") == 5
            assert await all_of(client) == b"bye"
            await ended(client)
            server.close()

    run(main)


@versions
def test_what_is_written_comes_in_order(authority: Authority, version: str) -> None:
    """Small and large pieces, to a peer that reads now and then: directly, as a part of a record, and queued."""

    async def main() -> None:
        client, conn = await pair(authority, {"maxBufferSize": None}, maxVersion=version)
        client.pause()
        at, written = 0, b""
        for n in range(1500):
            size = 17 * n % 3000 if n % 100 else 200_000
            piece = (MUCH * 2)[at : at + size]
            at = (at + size) % len(MUCH)
            written += piece
            conn.write(piece)
            if n % 40 == 0:
                await turns(1)
        conn.end()
        assert conn.writableLength > 0
        assert await all_of(client) == written
        await ended(client, conn)

    run(main)


def test_many_clients(authority: Authority) -> None:
    def echo(conn: TLSSocket) -> None:
        conn.pipe(conn)

    async def visit(number: int, port: int) -> None:
        data = MUCH[number : number + 100_000]
        client = client_of(authority, port)
        client.end(data)
        assert await all_of(client) == data
        await ended(client)

    async def main() -> None:
        async with server_of(authority, echo, allowHalfOpen=True) as server:
            port = await started(server)
            for visitor in [newthread(visit, number, port) for number in range(30)]:
                await visitor.join()

    run(main)


def test_a_unix_path(authority: Authority, tmp_path: Path) -> None:
    async def main() -> None:
        async with server_of(authority, lambda conn: conn.end("hello") and None) as server:
            await started(server, str(tmp_path / "socket"))
            client = tls.connect(str(tmp_path / "socket"), {"ca": authority.file})
            assert await all_of(client) == b"hello"
            await ended(client)

    run(main)


# Handshakes that fail.


def test_a_bad_client_needs_no_listener(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority, ignore) as server:
            client = net.connect(await started(server), "127.0.0.1")
            client.on("error", ignore)
            client.write("GET / HTTP/1.1\r\n\r\n")
            await client.wait("close")

    run(main)


def test_the_address_of_a_bad_client_is_known(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority) as server:
            log: Log = []
            server.on("tlsClientError", lambda error, conn: log.append((error.code, conn.remoteAddress)))
            client = net.connect(await started(server), "127.0.0.1")
            client.on("error", ignore)
            client.write("GET / HTTP/1.1\r\n\r\n")
            await client.wait("close")
            assert log == [("ERR_SSL_HTTP_REQUEST", "127.0.0.1")]

    run(main)


def test_a_handshake_that_takes_too_long(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority, handshakeTimeout=20) as server:
            log = record(server, ["tlsClientError"])
            silent = net.connect(await started(server), "127.0.0.1")
            silent.resume()
            await until(log, "tlsClientError")
            assert log[0][1].code == "ERR_TLS_HANDSHAKE_TIMEOUT"
            await ended(silent)
        with net.createServer(ignore) as plain:
            client = client_of(authority, await started(plain), handshakeTimeout=20)
            assert (await failed(client.wait("secureConnect"))).code == "ERR_TLS_HANDSHAKE_TIMEOUT"
            plain.closeAllConnections()

    run(main)


def test_the_server_gives_up_in_the_handshake(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority) as server:
            log = record(server, ["tlsClientError"])
            client = net.connect(await started(server), "127.0.0.1")
            client.on("error", ignore)
            await server.wait("connection")
            assert server.connections == 1
            server.closeAllConnections()
            await client.wait("close")
            await until(log, "tlsClientError")
            assert log[0][1].code == "ECONNRESET"

    run(main)


@pytest.mark.parametrize("side", ["client", "server"])
def test_destroyed_at_any_moment(authority: Authority, side: str) -> None:
    async def main() -> None:
        taken: list[Socket] = []

        def give(conn: TLSSocket) -> None:
            conn.on("error", ignore)
            conn.end(MUCH)

        async with server_of(authority, give) as server:
            server.on("connection", taken.append)
            port = await started(server)
            for n in range(40):
                client = client_of(authority, port)
                client.on("error", ignore)
                client.write("hello")
                client.resume()
                for _ in range(n // 2):
                    await turns(1)
                if side == "client":
                    client.destroy()
                elif taken:
                    taken.pop().destroy()
            server.closeAllConnections()

    run(main)


@pytest.mark.parametrize("side", ["client", "server"])
def test_keys_of_a_handshake_that_ends_early(authority: Authority, side: str) -> None:
    """Their file is closed."""

    async def main() -> None:
        async with server_of(authority) as server:
            client = client_of(authority, await started(server))
            client.on("error", ignore)
            client.on("keylog", ignore)
            server.on("keylog", ignore)
            server.on("tlsClientError", ignore)
            raw = await server.wait("connection")
            (client if side == "client" else raw).destroy()
            if side == "server":
                assert (await failed(client.wait("secureConnect"))).code == "ECONNRESET"

    run(main)


def test_nothing_refers_to_a_socket_that_is_closed(authority: Authority) -> None:
    """So it is freed at once, without a garbage collection."""
    left: list[weakref.ref[Socket]] = []

    async def main() -> None:
        async with server_of(authority, lambda conn: conn.end("hello") and None) as server:
            port = await started(server)
            for event in ("connection", "secureConnection"):
                server.on(event, lambda conn: left.append(weakref.ref(conn)))
            client = client_of(authority, port)
            client.on("session", ignore)
            left.append(weakref.ref(client))
            client.resume()
            while not client.destroyed:
                await turns(1)

    gc.collect()
    gc.disable()
    try:
        run(main)
        assert [one() for one in left] == [None] * 3
    finally:
        gc.enable()


def test_an_asynchronous_choice_of_a_context(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority, SNICallback=lambda name, done: None) as server:
            log = record(server, ["tlsClientError"])
            client = client_of(authority, await started(server))
            assert (await failed(client.wait("close"))).code == "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR"
            assert "must call back before it returns" in str(log[0][1])

    run(main)


# Over other sockets.


def test_data_that_came_before(authority: Authority) -> None:
    """What a socket has read ahead is the beginning of the handshake."""

    async def main() -> None:
        with net.createServer() as server:
            client = client_of(authority, await started(server))
            raw = await server.accept()
            while not raw.bytesRead:
                await turns(1)
            conn = TLSSocket(raw, {"isServer": True, "cert": authority.ours})
            conn.end("hello")
            assert await all_of(client) == b"hello"
            await ended(client, conn)
            assert raw.destroyed

    run(main)


def test_data_that_was_written_before(authority: Authority) -> None:
    """It leaves in plain text, before the handshake."""

    async def main() -> None:
        with net.createServer() as server:
            below = net.connect(await started(server), "127.0.0.1")
            raw = await server.accept()
            raw.write(MUCH * 10)
            conn = TLSSocket(raw, {"isServer": True, "cert": authority.ours})
            plain = b""
            while len(plain) < 10 * len(MUCH):
                plain += await below.recv(10 * len(MUCH) - len(plain))
            assert plain == MUCH * 10
            client = tls.connect({"socket": below, "ca": authority.file})
            conn.end("hello")
            assert await all_of(client) == b"hello"
            await ended(client, conn)

    run(main)


def test_a_socket_that_is_destroyed_already(authority: Authority) -> None:
    async def main() -> None:
        below = net.Socket().destroy()
        client = tls.connect({"socket": below, "ca": authority.file})
        log = record(client, ["error", "close"])
        await until(log, "close")
        assert log == [("close", False)]

    run(main)


def test_only_sockets_have_a_connection_for_it() -> None:
    wrong: Any = object()
    with pytest.raises(TypeError, match=r"must be a net\.Socket"):
        TLSSocket(wrong, {"isServer": True})


def test_it_cannot_be_given_away(authority: Authority) -> None:
    async def main() -> None:
        client, conn = await pair(authority)
        with pytest.raises(OSError, match="its keys are in this process"):
            client._give_away()
        client.destroy()
        conn.destroy()

    run(main)


# Again, and after the end.


def test_connect_again(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority, lambda conn: conn.end("hello") and None) as server:
            port = await started(server)
            client = client_of(authority, port)
            for _ in range(2):
                assert await all_of(client) == b"hello"
                await ended(client)
                client.connect(port, "127.0.0.1")
            await client.wait("secureConnect")
            assert client.authorized
            client.destroy()

    run(main)


def test_a_session_from_elsewhere_is_not_used(authority: Authority) -> None:
    async def main() -> None:
        async with server_of(authority, lambda conn: conn.end("hello") and None) as server:
            port = await started(server)
            first = client_of(authority, port, secureContext=tls.createSecureContext(ca=authority.file))
            session = await first.wait("session")
            second = client_of(authority, port, session=session)
            assert await all_of(second) == b"hello"
            assert not second.isSessionReused()
            first.resume()
            await ended(first, second)

    run(main)


def test_after_the_end(authority: Authority) -> None:
    async def main() -> None:
        client, conn = await pair(authority)
        client.destroy()
        conn.destroy()
        told = [client.getPeerCertificate(), client.getCipher(), client.getProtocol(), client.getSession()]
        assert told == [None] * 4
        assert not client.isSessionReused()
        assert isinstance(await failed(client.recv()), Closed)

    run(main)
