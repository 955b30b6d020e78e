"""Whole programs over sockets in memory: only pollers ask the kernel for sockets, names or the time."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest

from socket2 import (
    TCP,
    Server,
    addr,
    connect,
    debug,
    fd_stream,
    listen,
    luasocket,
    net,
    newthread,
    now,
    pipe,
    process,
    run,
    sleep,
    start,
    stream,
    tcp,
    timeout,
    wait_readable,
    wait_writable,
)
from socket2.threads.scheduler import Scheduler, local

from ..interop.peers import pattern
from ..net.scene import started
from ..without_kernel import FIRST_NUMBER, STARTS_AT_S, WithoutKernel

Steps = Generator[Any, Any, Any]

NAME = "there.invalid"


class Table:
    async def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> Any:
        await sleep(0.25)
        assert host == NAME
        return [(socket.AF_INET, type, proto or 6, "", ("127.0.0.1", port))]

    def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise AssertionError


@pytest.fixture(autouse=True, params=[True, False], ids=["cookies", "no cookies"])
def cookies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity of a socket works as on Linux, or as on other systems."""
    monkeypatch.setattr("pollers.closing._cookies", request.param)


@pytest.fixture(autouse=True)
def poller(monkeypatch: pytest.MonkeyPatch) -> WithoutKernel:
    assert local.scheduler is None
    poller = WithoutKernel()
    local.scheduler = Scheduler(poller)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the kernel is asked")

    def only_read_literals(*args: Any) -> Any:
        assert args[5] & socket.AI_NUMERICHOST, "the system is asked for a name"
        return getaddrinfo(*args)

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", only_read_literals)
    return poller


def echo(conn: TCP) -> Steps:
    while data := (yield from conn.recv(100)):
        yield from conn.sendall(data)


def test_a_server_and_its_clients(poller: WithoutKernel) -> None:
    data = pattern(10, 30_000)

    def client(address: Any) -> Steps:
        with (yield from connect(NAME, address[1])) as sock:
            assert sock.fileno() >= FIRST_NUMBER
            sending = newthread(sock.sendall(data))
            received = b""
            while len(received) < len(data):
                received += yield from sock.recv(1000)
            yield from sending.join()
        return received

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1", 0)
        clients = [newthread(client, server.addresses[0]) for _ in range(10)]
        for thread in clients:
            assert (yield from thread.join()) == data
        yield from server.stop()

    run(main, resolver=Table())
    assert not poller.net.socks
    assert STARTS_AT_S < now() < STARTS_AT_S + 60


def test_timeouts(poller: WithoutKernel) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, (yield from connect(listener.getsockname())) as client:
            with pytest.raises(TimeoutError), timeout(5):
                yield from client.recv(1)
            client.settimeout(1000)
            with pytest.raises(TimeoutError):
                yield from client.sendall(bytes(10_000))
            listener.settimeout(7)
            with (yield from listener.accept()) as conn:
                assert len((yield from conn.recv(5000))) == 1000
                conn.shutdown(socket.SHUT_WR)
                assert (yield from client.recv(1)) == b""
            with pytest.raises(TimeoutError):
                yield from listener.accept()
            with tcp() as stranger, pytest.raises(ConnectionRefusedError):
                yield from stranger.connect("127.0.0.1", 1)

    run(main)
    assert round(now() - STARTS_AT_S, 3) == 1012


def test_a_stream(poller: WithoutKernel) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, (yield from connect(listener.getsockname())) as client:
            with stream(client) as one, stream((yield from listener.accept())) as other:
                yield from one.sendv([b"a ", b"line\r\n", b"rest"])
                one.shutdown()
                assert (yield from other.recvline()) == b"a line"
                assert (yield from other.recvall()) == b"rest"
                assert "127.0.0.1" in debug.ps() + repr(client)

    run(main)


def test_the_other_faces(poller: WithoutKernel) -> None:
    def lua() -> Steps:
        with closing(luasocket.tcp()) as server, closing(luasocket.tcp()) as client:
            yield from server.bind("127.0.0.1", 0)
            server.listen()
            where: Any = server.getsockname()[:2]
            assert (yield from luasocket.select([server], None, 3))[2] == "timeout"
            assert (yield from client.connect(NAME, where[1])) == (1, None)
            assert (yield from luasocket.select([server], [client], 20)) == ([server], [client], None)
            conn: Any = (yield from server.accept())[0]
            with closing(conn):
                yield from client.send(b"a line\n")
                assert (yield from luasocket.select([conn], None))[0] == [conn]
                assert (yield from conn.receive("*l"))[0] == b"a line"

    run(lua, resolver=Table())

    async def evented() -> None:
        server = net.createServer(lambda conn: conn.end("hello"))
        conn = net.connect(await started(server), NAME)
        received: list[bytes] = []
        conn.on("data", received.append)
        await conn.wait("close")
        server.close()
        await server.wait("close")
        assert b"".join(received) == b"hello"

    run(evented, resolver=Table())

    def look() -> Steps:
        yield from sleep(0)
        assert (yield from addr(NAME, 80))[0].host == "127.0.0.1"

    newthread(look)
    start(resolver=Table())
    assert not poller.net.socks


def test_descriptors_of_the_kernel_are_refused() -> None:
    reader, writer = os.pipe()

    def main() -> Steps:
        with pytest.raises(io.UnsupportedOperation, match="there is no kernel"):
            yield from wait_readable(reader)
        for refused in (pipe, lambda: fd_stream(reader), lambda: process(["cat"], stdin=subprocess.PIPE)):
            with pytest.raises(io.UnsupportedOperation, match="there is no kernel"):
                refused()

    run(main)
    os.close(reader)
    os.close(writer)


def test_a_socket_in_memory_can_be_waited_for() -> None:
    def main() -> Steps:
        with listen("127.0.0.1:7000") as listener, (yield from connect("127.0.0.1:7000")) as client:
            yield from wait_readable(listener)
            with (yield from listener.accept()) as conn:
                yield from wait_writable(conn)
                with pytest.raises(TimeoutError), timeout(1):
                    yield from wait_readable(conn)
                yield from client.sendall(b"x")
                yield from wait_readable(conn)

    run(main)
