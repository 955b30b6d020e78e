"""UNIX objects: paths for addresses, and else as TCP and UDP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..interop.peers import LIMIT_S
from .face import Do

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")


def test_kinds() -> None:
    unix = luasocket.unix
    for make, kind in (
        (unix, "unixstream{master}"),
        (unix.stream, "unixstream{master}"),
        (unix.tcp, "unixstream{master}"),
        (unix.dgram, "unixdgram{unconnected}"),
        (unix.udp, "unixdgram{unconnected}"),
    ):
        with make() as made:
            assert repr(made).startswith(kind)


async def test_a_stream(do: Do, tmp_path: Path) -> None:
    path = str(tmp_path / "søcket")
    with luasocket.unix() as listener, luasocket.unix() as client:
        assert await do(listener.bind, path) == (1, None)
        assert listener.listen() == (1, None)
        assert repr(listener).startswith("unixstream{server}")
        assert listener.getsockname() == (path, None)
        assert await do(client.connect, path) == (1, None)
        assert repr(client).startswith("unixstream{client}")
        accepted, err = await do(listener.accept)
        assert err is None
        with accepted:
            assert accepted.getsockname() == client.getpeername() == (path, None)
            assert accepted.getpeername() == client.getsockname() == ("", None)
            assert await do(client.send, b"hello\r\n") == (7, None, None)
            assert await do(accepted.receive) == (b"hello", None, None)
            assert accepted.getstats()[:2] == (7, 0)
            assert client.shutdown("send") == 1
            assert await do(accepted.receive, "*a") == (None, "closed", b"")
            assert await do(client.connect, path) == (None, "already connected")
            client.settimeout(0.01)
            assert await do(client.receive) == (None, "timeout", b"")


async def test_a_stream_that_cannot_be(do: Do, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with luasocket.unix() as first, luasocket.unix() as second:
        assert await do(first.connect, path) == (None, "No such file or directory")
        assert await do(first.connect, "x" * 200) == (None, "path too long")
        assert repr(first).startswith("unixstream{client}")
        assert await do(second.bind, path) == (1, None)
        with luasocket.unix() as third:
            assert await do(third.setsockname, path) == (None, "address already in use")
            assert await do(third.bind, "x" * 200) == (None, "path too long")
            assert third.listen() == (None, "Invalid argument")
        assert await do(first.setpeername, path) == (None, "connection refused")
        assert second.listen() == (1, None)
        assert await do(first.connect, path) == (1, None), "and it can try again"


async def test_a_full_queue_is_waited_for(do: Do, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with luasocket.unix() as listener:
        assert await do(listener.bind, path) == (1, None)
        assert listener.listen(0) == (1, None)
        clients: list[Any] = []
        err = None
        while err is None:
            client = luasocket.unix()
            client.settimeout(0.01)
            clients.append(client)
            _, err = await do(client.connect, path)
        assert err == "timeout"
        waits = clients[-1]
        waits.settimeout(LIMIT_S)
        thread = socket2.newthread(waits.connect, path)
        accepted, _ = await do(listener.accept)
        clients.append(accepted)
        while not thread.done:
            await do(luasocket.sleep, 0.001)
        assert thread.result() == (1, None)
        for client in clients:
            client.close()


async def test_datagrams(do: Do, tmp_path: Path) -> None:
    path, other_path = str(tmp_path / "one"), str(tmp_path / "other")
    with luasocket.unix.dgram() as one, luasocket.unix.dgram() as other:
        assert await do(one.bind, path) == (1, None)
        assert await do(other.sendto, b"hello", path) == (5, None)
        assert await do(one.receivefrom) == (b"hello", "")
        assert other.getsockname() == ("", None)
        assert await do(other.setsockname, other_path) == (1, None)
        assert await do(other.sendto, b"", path) == (0, None)
        assert await do(one.receivefrom) == (b"", other_path)
        assert await do(other.setpeername, path) == (1, None)
        assert repr(other).startswith("unixdgram{connected}")
        assert await do(other.send, b"0123456789") == (10, None)
        assert await do(one.receive, 4) == (b"0123", None)
        mistakes: tuple[Callable[[], Any], ...] = (
            lambda: other.sendto(b"x", path),
            lambda: other.receivefrom(),
            lambda: one.send(b"x"),
        )
        for wrong in mistakes:
            with pytest.raises(TypeError, match="on bad self"):
                wrong()
        one.settimeout(0)
        assert await do(one.receive) == (None, "timeout")
        assert await do(one.receivefrom) == (None, "timeout")


async def test_datagrams_to_nobody(do: Do, tmp_path: Path) -> None:
    path = str(tmp_path / "one")
    with luasocket.unix.dgram() as one, luasocket.unix.dgram() as other:
        assert await do(other.sendto, b"x", path) == (None, "No such file or directory")
        assert await do(other.sendto, b"x", "x" * 200) == (None, "path too long")
        assert await do(other.connect, path) == (None, "No such file or directory")
        assert repr(other).startswith("unixdgram{unconnected}")
        assert await do(one.bind, path) == (1, None)
        assert await do(other.connect, path) == (1, None)
        one.close()
        assert await do(other.send, b"x") == (None, "connection refused")
        assert await do(one.receive) == (None, "closed")
        assert one.getsockname() == (None, "Bad file descriptor")


def test_what_is_no_path_raises() -> None:
    with luasocket.unix() as sock, luasocket.unix.dgram() as dgram:
        for method in (sock.bind, sock.connect, dgram.bind, dgram.connect):
            for wrong in (None, 5, b"path"):
                with pytest.raises(TypeError, match="an address must be a string"):
                    method(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            dgram.sendto(b"x", None)  # type: ignore[arg-type]
