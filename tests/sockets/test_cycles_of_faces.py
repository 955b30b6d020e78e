"""Operations of luasocket and net leave no reference cycle behind, however they end. See test_cycles_of_operations."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Closed,
    luasocket,
    net,
    run,
    sleep,
)

from ..garbage import left_by
from .test_cycles_of_operations import BIG, fails, given_up

Steps = Generator[Any, Any, Any]
Case = Callable[[], Steps]

CASES: list[Case] = []


def case(func: Case) -> Case:
    CASES.append(func)
    return func


def listening() -> Steps:
    server = net.createServer()
    server.listen(0, "127.0.0.1")
    yield from server.wait("listening")
    return server


def gone(*emitters: Any) -> Steps:
    for emitter in emitters:
        if isinstance(emitter, net.Server):
            emitter.close()
        elif emitter.destroyed:
            continue
        else:
            emitter.destroy()
        yield from emitter.wait("close")


@case
def net_done() -> Steps:
    server = yield from listening()
    client = net.connect(server.address()["port"], "127.0.0.1")
    client.setTimeout(100_000)
    yield from client.wait("connect")
    conn = yield from server.accept()
    conn.on("data", lambda data: None)
    yield from client.send(b"abc")
    conn.end(b"def")
    yield from client.recv()
    yield from gone(client, conn, server)


@case
def net_piped() -> Steps:
    server = yield from listening()
    client = net.connect(server.address()["port"], "127.0.0.1")
    conn = yield from server.accept()
    conn.pipe(conn)
    yield from client.send(b"abc")
    yield from client.recv()
    client.end()
    yield from gone(client, conn, server)


@case
def net_failed() -> Steps:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = net.connect(port, "127.0.0.1")
    yield from fails(client.wait("connect"), OSError)
    yield from fails(client.recv(), OSError)
    yield from fails(client.send(b"x"), OSError)
    client = net.connect(1, "nobody.invalid")
    yield from fails(client.wait("connect"), OSError)
    yield from fails(client.recv(), OSError)
    yield from fails(net.createServer().accept(), Closed)


@case
def net_given_up() -> Steps:
    server = yield from listening()
    yield from given_up(lambda: server.accept())
    client = net.connect(server.address()["port"], "127.0.0.1")
    conn = yield from server.accept()
    yield from given_up(lambda: client.recv())
    yield from given_up(lambda: client.wait("data"))
    yield from given_up(lambda: client.send(BIG))
    yield from gone(client, conn, server)


@case
def lua() -> Steps:
    server: Any
    client: Any
    server, _ = yield from luasocket.bind("127.0.0.1", 0)
    port = int(server.getsockname()[1])
    client, _ = yield from luasocket.connect("127.0.0.1", port)
    conn, _ = yield from server.accept()
    yield from client.send(b"abc\n12345")
    yield from conn.receive()
    yield from conn.receive(3)
    conn.settimeout(0.001)
    yield from conn.receive(10)
    yield from luasocket.select([conn, server], [client], 0)
    yield from luasocket.select([conn], None, 0.001)
    conn.settimeout(None)
    yield from given_up(lambda: conn.receive())
    yield from given_up(lambda: luasocket.select([conn], None))
    yield from given_up(lambda: server.accept())
    client.close()
    yield from conn.receive()
    for ours in conn, server:
        ours.close()
    yield from conn.receive()
    yield from conn.send(b"x")
    yield from luasocket.connect("127.0.0.1", port)
    yield from luasocket.dns.toip("nobody.invalid")


@case
def lua_datagrams() -> Steps:
    sock = luasocket.udp4()
    yield from sock.setsockname("127.0.0.1", 0)
    yield from given_up(lambda: sock.receivefrom())
    sock.settimeout(0)
    yield from sock.receivefrom()
    sock.close()
    yield from sock.receivefrom()


@pytest.mark.parametrize("steps", CASES, ids=lambda steps: steps.__name__)
def test_no_cycle_is_left(steps: Case) -> None:
    def main() -> Steps:
        yield from steps()
        yield from sleep(0.001)  # threads whose socket was closed learn of it

    assert left_by(lambda: run(main)) == []
