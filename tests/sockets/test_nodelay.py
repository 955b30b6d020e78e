"""Small pieces are sent at once, at both ends, by default. net and luasocket follow Node and LuaSocket."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import socket2
from socket2 import TCP, Server, connect, listen, luasocket, net, newthread, tcp, unix

from ..interop.peers import run


def nodelay(sock: Any) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.parametrize("on", [True, False])
def test_connect_and_accept(on: bool) -> None:
    options: dict[str, Any] = {} if on else {"nodelay": False}

    async def main() -> None:
        with listen("127.0.0.1:0", **options) as listener:
            with await connect(listener.getsockname(), **options) as sock, await listener.accept() as accepted:
                assert nodelay(sock) is nodelay(accepted) is nodelay(listener) is on
            with tcp(**options) as client:
                await client.connect(*listener.getsockname())
                with await listener.accept() as accepted:
                    assert nodelay(client) is nodelay(accepted) is on

    run(main)


@pytest.mark.parametrize("on", [True, False])
def test_of_several_addresses(on: bool) -> None:
    async def main() -> None:
        with listen("127.0.0.1:0") as listener:
            options: dict[str, Any] = {} if on else {"nodelay": False}
            with await connect("localhost", listener.getsockname()[1], **options) as sock:
                assert nodelay(sock) is on
            (await listener.accept()).close()

    run(main)


@pytest.mark.parametrize("on", [True, False])
def test_after_a_connect_that_failed(on: bool) -> None:
    async def main() -> None:
        with socket.socket() as nobody, tcp(nodelay=on) as sock:
            nobody.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                await sock.connect(*nobody.getsockname())
            assert nodelay(sock) is on

    run(main)


@pytest.mark.parametrize("on", [True, False])
def test_a_server(on: bool) -> None:
    seen: list[bool] = []

    def handler(sock: TCP) -> None:
        seen.append(nodelay(sock))

    async def main() -> None:
        server = Server(handler)
        await server.listen("127.0.0.1", 0, nodelay=on)
        with await connect(server.addresses[0]) as sock:
            assert await sock.recv(1) == b""
        await server.stop(10)

    run(main)
    assert seen == [on]


@pytest.mark.parametrize("on", [True, False])
def test_serve(on: bool) -> None:
    seen: list[bool] = []

    async def main() -> None:
        def ready(server: Server) -> None:
            newthread(client, server)

        async def client(server: Server) -> None:
            with await connect(server.addresses[0]) as sock:
                assert await sock.recv(1) == b""
            await server.stop(10)

        await socket2.serve(
            lambda sock: seen.append(nodelay(sock)), "127.0.0.1", 0, signals=(), ready=ready, nodelay=on
        )

    run(main)
    assert seen == [on]


def test_what_was_taken_over_is_as_it_was() -> None:
    with socket.socket() as sock, tcp(fileno=sock.detach()) as adopted:
        assert not nodelay(adopted)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets on this system")
def test_a_unix_socket_has_no_such_thing() -> None:
    with unix():
        pass


def test_luasocket() -> None:
    server: Any
    client: Any
    server, _ = luasocket.bind("127.0.0.1", 0)
    client, _ = luasocket.connect(*server.getsockname()[:2])
    accepted, _ = server.accept()
    for sock in (server, client, accepted):
        assert sock.getoption("tcp-nodelay") in (False, (False, None))
        sock.close()


def test_net() -> None:
    seen: list[bool] = []

    async def main() -> None:
        server = net.createServer()
        server.listen(0, "127.0.0.1")
        await server.wait("listening")
        at: Any = server.address()
        port = at["port"]
        for host in ("127.0.0.1", "localhost"):
            client = net.connect(port, host)
            conn: Any = await server.wait("connection")
            if client.connecting:
                await client.wait("connect")
            for end in (client, conn):
                seen.append(nodelay(end._tcp))
                end.destroy()
                await end.wait("close")
        server.close()

    run(main)
    assert seen == [False] * 4
