"""setopt() and getopt(): options by name, as the kernel has them."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

import pollers
from pollers.options import Option
from socket2 import TCP, AddressList, addr, run, tcp, udp, unix

from ..machine import needs_ipv6
from ..sockets.test_connect_by_name import refusing
from ..sockets.test_udp import needs_unix

FLAGS = {
    "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "reuseaddr": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "dontroute": (socket.SOL_SOCKET, socket.SO_DONTROUTE),
}


@pytest.mark.parametrize(("name", "option"), FLAGS.items())
def test_flags(name: str, option: tuple[int, int]) -> None:
    with tcp() as sock:
        assert sock.getopt(name) is False
        for value in (True, False, 1, 0):
            sock.setopt(name, value)
            assert sock.getopt(name) is bool(value)
            assert bool(sock.getsockopt(*option)) is bool(value)


def test_options_of_other_kinds_of_sockets() -> None:
    with udp() as sock:
        sock.setopt("broadcast", True)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)


@needs_ipv6
def test_v6only() -> None:
    with tcp("inet6") as sock:
        for value in (True, False):
            sock.setopt("v6only", value)
            assert sock.getopt("v6only") is value
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == value


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has no SO_REUSEPORT")
def test_reuseport_lets_two_listeners_have_one_port() -> None:
    with tcp() as one, tcp() as two:
        for sock in (one, two):
            sock.setopt("reuseport", True)
        one.listen("127.0.0.1", 0)
        two.listen(*one.getsockname())


def test_keepalive_times() -> None:
    with tcp() as sock:
        for name, value in (("keepalive_idle", 60), ("keepalive_interval", 5), ("keepalive_count", 3)):
            sock.setopt(name, value)
            assert sock.getopt(name) == value
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


def test_buffers() -> None:
    with tcp() as sock:
        for name in ("sndbuf", "rcvbuf"):
            sock.setopt(name, 40_000)
            assert sock.getopt(name) in (40_000, 80_000), "Linux doubles it"


def test_linger() -> None:
    with tcp() as sock:
        assert sock.getopt("linger") is None
        for given, found in ((5, 5), (0, 0), (None, None), (7, 7), (False, None)):
            sock.setopt("linger", given)
            assert sock.getopt("linger") == found
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        assert isinstance(raw, bytes)
        assert not any(raw[: len(raw) // 2])


def test_linger_0_resets_the_connection() -> None:
    def main() -> Any:
        with tcp() as listener, tcp() as client:
            listener.listen(False)
            yield from client.connect(listener.getsockname())
            server: TCP = yield from listener.accept()
            server.setopt("linger", 0)
            server.close()
            with pytest.raises(ConnectionResetError):
                yield from client.recv(1)

    run(main)


def test_an_option_outlives_a_connect_that_failed() -> None:
    def main() -> Any:
        with tcp() as listener, tcp() as client:
            listener.listen(False)
            client.setopt("nodelay", True)
            client.setopt("linger", 3)
            alive = yield from addr(*listener.getsockname())
            yield from client.connect(AddressList([refusing(), *alive]))
            assert client.getopt("nodelay") is True
            assert client.getopt("linger") == 3
            (yield from listener.accept()).close()

    run(main)


def test_mistakes() -> None:
    with tcp() as sock:
        for use in (lambda: sock.setopt("no_delay", True), lambda: sock.getopt("no_delay")):
            with pytest.raises(ValueError, match="unknown option 'no_delay': the options are broadcast, .*nodelay"):
                use()
        wrong: list[tuple[str, Any]] = [
            ("nodelay", "yes"),
            ("nodelay", None),
            ("nodelay", 2),
            ("keepalive_idle", 1.5),
            ("keepalive_idle", True),
            ("sndbuf", "64k"),
            ("linger", True),
            ("linger", 1.5),
        ]
        for name, value in wrong:
            with pytest.raises(TypeError, match=f"{name} takes .*, not "):
                sock.setopt(name, value)
        for name, number in (("keepalive_count", -1), ("linger", -1), ("linger", 1 << 20)):
            with pytest.raises(ValueError, match=f"{name}: {number} is not from "):
                sock.setopt(name, number)


@needs_unix
def test_an_option_that_the_socket_does_not_have() -> None:
    with unix() as sock, pytest.raises(OSError, match=r"."):
        sock.setopt("nodelay", True)


def test_an_option_that_the_system_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pollers.OPTIONS, "reuseport", Option(socket.SOL_SOCKET, "SO_NOT_HERE"))
    with tcp() as sock:
        for use in (lambda: sock.setopt("reuseport", True), lambda: sock.getopt("reuseport")):
            with pytest.raises(OSError, match="this system has no option reuseport") as failure:
                use()
            assert failure.value.errno == errno.ENOPROTOOPT
