"""TLS with other implementations, in both roles: openssl, curl, Node, the standard library, asyncio and trio."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    TLS,
    Server,
    Stream,
    call_in_thread,
    connect,
    listen,
    newthread,
    stream,
)
from socket2.tls.reloading import ServerContext

from ..interop.curl import command
from ..interop.peers import LIMIT_S, Program, beside, call, needs, pattern, receive_all
from .certificates import Authority, versions
from .ends import Steps, limited

BODY = pattern(70, 300_000)


# curl


class Pages:
    """Just enough HTTP: one answer for each connection, which ends with the connection."""

    def __init__(self) -> None:
        self.seen: list[TLS] = []

    def serve(self, conn: TLS) -> Steps:
        self.seen.append(conn)
        lines: Stream = stream(conn)
        while (yield from lines.recvline()):
            pass
        yield from lines.sendv([b"HTTP/1.0 200 OK\r\n\r\n", BODY])
        yield from lines.finish()


@versions
def test_curl(any_poller: None, authority: Authority, version: str) -> None:
    """The end of the connection is the end of the body."""
    curl = command("--cacert", str(authority.file))
    pages = Pages()

    def main() -> Steps:
        server = Server(pages.serve, tls=authority.server(version, alpn=["http/1.1"]))
        yield from server.listen("127.0.0.1")
        port = server.addresses[0][1]
        done = yield from call_in_thread(call, [*curl, f"https://127.0.0.1:{port}/"])
        assert done.stdout == BODY
        yield from server.stop()
        assert pages.seen[0].alpn == "http/1.1"

    limited(main)


@versions
def test_curl_resumes_with_its_certificate(authority: Authority, version: str) -> None:
    mine = str(authority.issue("me"))
    curl = command("--cacert", str(authority.file), "--cert", mine, "--key", mine)
    pages = Pages()

    def main() -> Steps:
        server = Server(pages.serve, tls=authority.server(version, client_ca=authority.file))
        yield from server.listen("127.0.0.1")
        url = f"https://localhost:{server.addresses[0][1]}/"
        done = yield from call_in_thread(call, [*curl, "-4", "--connect-to", "::127.0.0.1:", url, url])
        assert done.stdout == BODY * 2
        yield from server.stop()
        for conn, resumed in zip(pages.seen, (False, True), strict=True):
            assert (conn.resumed, conn.server_name) == (resumed, "localhost")
            assert conn.peer_certificate is not None
            assert ("DNS", "me") in conn.peer_certificate["subjectAltName"]

    limited(main)


def test_curl_over_a_unix_path(authority: Authority, tmp_path: Path) -> None:
    curl = command("--cacert", str(authority.file))

    def main() -> Steps:
        server = Server(Pages().serve, tls=authority.server())
        yield from server.listen(tmp_path / "s")
        done = yield from call_in_thread(call, [*curl, "--unix-socket", str(tmp_path / "s"), "https://localhost/"])
        assert done.stdout == BODY
        yield from server.stop()

    limited(main)


# The standard library


@versions
def test_a_client_of_the_standard_library(any_poller: None, authority: Authority, version: str) -> None:
    def client(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as plain:
            with authority.client(version).wrap_socket(plain, server_hostname="localhost") as sock:
                sock.sendall(BODY)
                sock.unwrap().close()  # waits for our close_notify
                return b"unwrapped"

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with beside(client, listener.getsockname()[1]) as thread:
                with (yield from listener.accept()) as conn:
                    assert (yield from stream(conn).recvall()) == BODY
                    yield from conn.finish()
                assert (yield from call_in_thread(thread.outcome)) == b"unwrapped"

    limited(main)


@versions
def test_a_server_of_the_standard_library(any_poller: None, authority: Authority, version: str) -> None:
    def serve(listener: socket.socket, context: ServerContext) -> bytes:
        plain, _ = listener.accept()
        plain.settimeout(LIMIT_S)
        with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as sock:
            received = receive_all(sock)
            sock.sendall(received)
            sock.unwrap().close()
            return received

    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with beside(serve, listener, authority.server(version)) as thread:
                with (yield from connect(*listener.getsockname(), tls=authority.client())) as conn:
                    yield from conn.sendall(BODY)
                    conn.shutdown()
                    assert (yield from stream(conn).recvall()) == BODY
                    yield from conn.finish()
                assert (yield from call_in_thread(thread.outcome)) == BODY

    limited(main)


# asyncio and trio


@versions
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of asyncio's own
def test_asyncio(authority: Authority, version: str) -> None:
    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=authority.client(version), server_hostname="localhost"
        )
        writer.write(BODY)
        received = await reader.readexactly(len(BODY))
        writer.close()
        await writer.wait_closed()
        return received

    async def serve(told: list[int], context: ssl.SSLContext) -> None:
        over = asyncio.Event()

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(len(BODY)))
            await writer.drain()
            assert await reader.read() == b""
            writer.close()
            over.set()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
        told.append(server.sockets[0].getsockname()[1])
        await over.wait()
        server.close()

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with beside(lambda: asyncio.run(client(listener.getsockname()[1]))) as thread:
                with (yield from listener.accept()) as conn:
                    lines = stream(conn)
                    yield from lines.sendall((yield from lines.recvn(len(BODY))))
                    assert (yield from lines.recv()) == b""
                    yield from lines.finish()
                assert (yield from call_in_thread(thread.outcome)) == BODY
        told: list[int] = []
        with beside(lambda: asyncio.run(serve(told, authority.server(version)))) as server:
            while not told:
                yield from call_in_thread(server.join, 0.001)
            with (yield from connect("127.0.0.1", told[0], tls=authority.client())) as conn:
                yield from conn.sendall(BODY)
                assert (yield from stream(conn).recvn(len(BODY))) == BODY
                yield from conn.finish()

    limited(main)


@versions
def test_trio(authority: Authority, version: str) -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed (pip install trio)")

    async def client(port: int) -> bytes:
        conn = await trio.open_ssl_over_tcp_stream("127.0.0.1", port, ssl_context=authority.client(version))
        await conn.send_all(BODY)
        received = b""
        while len(received) < len(BODY):
            received += await conn.receive_some(65536)
        await conn.aclose()
        return received

    async def serve(told: list[int], context: ssl.SSLContext) -> None:
        (listener,) = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
        below: Any = listener.transport_listener
        told.append(below.socket.getsockname()[1])
        async with listener, await listener.accept() as conn:
            async for data in conn:
                await conn.send_all(data)

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with beside(lambda: trio.run(client, listener.getsockname()[1])) as thread:
                with (yield from listener.accept()) as conn:
                    while data := (yield from conn.recv()):
                        yield from conn.sendall(data)
                    yield from conn.finish()
                assert (yield from call_in_thread(thread.outcome)) == BODY
        told: list[int] = []
        with beside(lambda: trio.run(serve, told, authority.server(version))) as server:
            while not told:
                yield from call_in_thread(server.join, 0.001)
            with (yield from connect("127.0.0.1", told[0], tls=authority.client())) as conn:
                sending = newthread(conn.sendall(BODY))
                assert (yield from stream(conn).recvn(len(BODY))) == BODY
                yield from sending.join()
                yield from conn.finish()

    limited(main)


# Node

NODE_SERVER = """
const tls = require('tls'), fs = require('fs');
const pem = fs.readFileSync(process.argv[1]);
const server = tls.createServer({ cert: pem, key: pem, maxVersion: process.argv[2] }, socket => {
  socket.on('data', data => socket.write(data));
  socket.on('end', () => { socket.end('bye'); server.close(); });
});
server.listen(0, '127.0.0.1', () => console.log('listening on port:' + server.address().port));
"""

NODE_CLIENT = """
const tls = require('tls'), fs = require('fs');
const options = { host: '127.0.0.1', port: +process.argv[2], servername: 'localhost',
                  ca: fs.readFileSync(process.argv[1]), maxVersion: process.argv[3] };
const socket = tls.connect(options, () => { socket.end('x'.repeat(300000)); });
let size = 0;
socket.on('data', data => { size += data.length; });
socket.on('end', () => console.log('received ' + size));
socket.on('error', error => { console.log(error); process.exit(1); });
"""


@versions
def test_node(authority: Authority, version: str) -> None:
    node = needs("node")

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            port = str(listener.getsockname()[1])
            calling = newthread(call_in_thread(call, [node, "-e", NODE_CLIENT, str(authority.file), port, version]))
            with (yield from listener.accept()) as conn:
                while data := (yield from conn.recv()):
                    yield from conn.sendall(data)
                yield from conn.finish()
                assert conn.version == version
            assert (yield from calling.join()).stdout == b"received 300000\n"
        with Program([node, "-e", NODE_SERVER, str(authority.ours), version]) as server:
            port = (yield from call_in_thread(server.announced, r"port:(\d+)"))[1].decode()
            with (yield from connect("127.0.0.1", port, tls=authority.client())) as conn:
                yield from conn.sendall(BODY)
                lines = stream(conn)
                assert (yield from lines.recvn(len(BODY))) == BODY
                conn.shutdown()
                assert (yield from lines.recvall()) == b"bye"
            yield from call_in_thread(server.wait)

    limited(main)
