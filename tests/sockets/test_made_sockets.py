"""The poller makes all sockets of a program: a poller with sockets of its own kind is never bypassed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import pollers
import socket2
from pollers.readiness.select import Select
from socket2 import UDP, Server, bind, connect, listen, luasocket, net, run, tcp, udp, unix
from socket2.threads.scheduler import Scheduler, local

from ..interop import peers
from ..net.scene import started

Steps = Generator[Any, Any, Any]


class StandIn:
    """A socket that is not the standard library's, but contains one."""

    def __init__(self, sock: socket.socket) -> None:
        self.inner = sock

    def accept(self) -> tuple[StandIn, Any]:
        sock, address = self.inner.accept()
        return StandIn(sock), address

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()


class Maker:
    """A wrapper for any poller that makes stand-ins as sockets."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.made: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def streak(self) -> int:
        return int(self._inner.streak)

    @streak.setter
    def streak(self, value: int) -> None:
        self._inner.streak = value

    def socket(self, family: int, type: int, proto: int, /) -> Any:
        self.made.append(f"{socket.AddressFamily(family).name} {socket.SocketKind(type).name}")
        return StandIn(self._inner.socket(family, type, proto))

    def adopt(self, fileno: int, /) -> Any:
        self.made.append("adopted")
        return StandIn(self._inner.adopt(fileno))

    def attach(self, sock: Any, /) -> Any:
        assert type(sock) is StandIn, f"{sock!r} was made by somebody else"
        return self._inner.attach(sock)


KINDS: dict[str, Callable[[], Any]] = {
    "default": lambda: Maker(pollers.choose(checked=False)),
    "checked": lambda: Maker(pollers.choose(checked=True)),
    "select": lambda: Maker(Select()),
}


@pytest.fixture(params=sorted(KINDS))
def maker(request: pytest.FixtureRequest) -> Maker:
    assert local.scheduler is None
    maker: Maker = KINDS[request.param]()
    local.scheduler = Scheduler(maker)
    return maker


def test_each_kind_of_socket(maker: Maker) -> None:
    with tcp(), tcp("inet6") if socket.has_ipv6 else tcp(), udp():
        pass
    assert maker.made[0] == "AF_INET SOCK_STREAM"
    assert maker.made[2] == "AF_INET SOCK_DGRAM"
    if hasattr(socket, "AF_UNIX") and os.name == "posix":
        with unix(), unix("dgram"):
            pass
        assert maker.made[3:] == ["AF_UNIX SOCK_STREAM", "AF_UNIX SOCK_DGRAM"]


def test_a_descriptor_that_is_taken_over(maker: Maker) -> None:
    with udp(fileno=socket.socket(type=socket.SOCK_DGRAM).detach()) as sock:
        sock.bind("127.0.0.1", 0)
        assert maker.made == ["adopted"]
    stranger = socket.socket()
    with pytest.raises(ValueError, match="is not a udp socket"):
        udp(fileno=stranger.fileno())
    stranger.close()


def test_datagrams_and_connections(maker: Maker) -> None:
    def main() -> Steps:
        with bind("127.0.0.1:0") as here, bind("127.0.0.1:0") as there:
            assert isinstance(here, UDP)
            assert isinstance(there, UDP)
            yield from here.sendto(b"a datagram", there.getsockname())
            assert (yield from there.recvfrom(100)) == (b"a datagram", here.getsockname())
        with listen("127.0.0.1:0") as listener, (yield from connect(listener.getsockname())) as client:
            with (yield from listener.accept()) as conn:
                yield from client.sendall(b"over a connection")
                assert (yield from conn.recv(100)) == b"over a connection"

    run(main)
    assert maker.made == ["AF_INET SOCK_DGRAM"] * 2 + ["AF_INET SOCK_STREAM"] * 2


def test_the_fresh_socket_after_a_connect_that_was_refused(maker: Maker) -> None:
    def main() -> Steps:
        with tcp() as sock:
            with pytest.raises(ConnectionRefusedError):
                yield from sock.connect("127.0.0.1", peers.refusing_port())

    run(main)
    assert maker.made == ["AF_INET SOCK_STREAM"] * 2


@pytest.mark.skipif(os.name != "posix", reason="paths")
def test_who_looks_whether_a_path_is_in_use(maker: Maker, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with listen(path):
        pass
    assert maker.made == ["AF_UNIX SOCK_STREAM", "AF_UNIX SOCK_DGRAM"]


def test_a_server(maker: Maker) -> None:
    def handler(conn: socket2.TCP) -> Steps:
        yield from conn.sendall((yield from conn.recv(100)))

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1", 0)
        server.add(listen("127.0.0.1:0"))
        server.add(socket.create_server(("127.0.0.1", 0)))
        for address in server.addresses:
            with (yield from connect(address)) as conn:
                yield from conn.sendall(b"hello")
                assert (yield from conn.recv(100)) == b"hello"
        yield from server.stop()

    run(main)
    assert len(maker.made) == 6


def test_the_other_faces(maker: Maker) -> None:
    def lua() -> Steps:
        with closing(luasocket.tcp()) as server, closing(luasocket.tcp()) as client:
            yield from server.bind("127.0.0.1", 0)
            server.listen()
            where: Any = server.getsockname()[:2]
            assert (yield from client.connect(*where)) == (1, None)
            assert (yield from luasocket.select([server], None, 20))[0]

    run(lua)
    assert maker.made[:2] == ["AF_INET SOCK_STREAM"] * 2
    maker.made.clear()

    async def evented() -> None:
        server = net.createServer(lambda conn: conn.end("hello"))
        conn = net.connect(await started(server), "127.0.0.1")
        conn.resume()
        await conn.wait("close")
        server.close()
        await server.wait("close")

    run(evented)
    assert maker.made == ["AF_INET SOCK_STREAM"] * 2


MAKERS = ("socket.socket(", "socket.socketpair(", "fromfd(", "pollers.adopt")


def test_nothing_else_makes_sockets() -> None:
    """Sockets between processes are the exception, and one that only keeps a port for another program."""
    between = {"inquiry.py", "supervisor.py", "colleagues.py", "ports.py"}
    making = {
        path.name for path in (peers.ROOT / "socket2").rglob("*.py") if any(word in path.read_text() for word in MAKERS)
    }
    assert making == between
