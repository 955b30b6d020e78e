"""listen(): its many forms, what address() returns for them, and errors."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import net

from ..machine import needs_ipv6
from .scene import all_of, ended, failed, greet, port_of, run, started


async def greeted(*args: Any, **options: Any) -> bytes:
    """Connect, and return what the server says."""
    client = net.connect(*args, **options)
    said = await all_of(client)
    await ended(client)
    return said


def greeter() -> net.Server:
    return net.createServer(greet)


@pytest.mark.parametrize(
    "form",
    [(), (0,), ("0",), (None,), (0, "127.0.0.1"), (0, 5), (0, "localhost", 5), (0, None, 5), ({"port": 0},)],
    ids=repr,
)
@pytest.mark.parametrize("with_callback", [False, True])
def test_forms_of_listen_on_a_port(form: tuple[Any, ...], with_callback: bool) -> None:
    async def main() -> None:
        called: list[str] = []
        async with greeter() as server:
            callback = (lambda: called.append("listening"),) if with_callback else ()
            assert server.listen(*form, *callback) is server
            await server.wait("listening")
            assert called == ["listening"] * with_callback
            address = server.address()
            assert isinstance(address, dict)
            assert await greeted(address["port"], "127.0.0.1") == b"hello"

    run(main)


def test_options_by_name() -> None:
    async def main() -> None:
        async with greeter() as server:
            port = await started(server, host="127.0.0.1", port=0, backlog=3, exclusive=True)
            assert await greeted(port=port, host="127.0.0.1") == b"hello"

    run(main)


@needs_ipv6
def test_without_a_host_it_is_for_both_families() -> None:
    async def main() -> None:
        async with greeter() as server:
            server.listen()
            await server.wait("listening")
            port = port_of(server)
            assert server.address() == {"address": "::", "family": "IPv6", "port": port}
            assert await greeted(port, "127.0.0.1") == b"hello"
            assert await greeted(port, "::1") == b"hello"

    run(main)


def test_without_ipv6_it_is_for_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    from socket2.net import opening

    def tcp(family: str) -> socket2.TCP:
        if family == "inet6":
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return socket2.tcp(family)

    monkeypatch.setattr(opening, "tcp", tcp)

    async def main() -> None:
        async with greeter() as server:
            server.listen()
            await server.wait("listening")
            address = server.address()
            assert isinstance(address, dict)
            assert address["address"] == "0.0.0.0"

    run(main)


@needs_ipv6
def test_ipv6_only() -> None:
    async def main() -> None:
        async with greeter() as server:
            port = await started(server, {"port": 0, "host": "::", "ipv6Only": True})
            assert await greeted(port, "::1") == b"hello"
            with pytest.raises(ConnectionRefusedError):
                await greeted(port, "127.0.0.1")

    run(main)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has no SO_REUSEPORT")
def test_reuse_port() -> None:
    async def main() -> None:
        async with greeter() as one, greeter() as other:
            port = await started(one, port=0, host="127.0.0.1", reusePort=True)
            assert await started(other, port=port, host="127.0.0.1", reusePort=True) == port

    run(main)


# UNIX sockets.


@pytest.mark.parametrize("by_option", [False, True])
def test_a_path(tmp_path: Path, by_option: bool) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with greeter() as server:
            await started(server, *([{"path": path}] if by_option else [path]))
            assert server.address() == path
            assert stat.S_ISSOCK(os.stat(path).st_mode)
            assert await greeted(path) == b"hello"
            assert await greeted({"path": path}) == b"hello"
        assert not os.path.exists(path)

    run(main)


def test_a_path_is_unlinked_by_who_has_made_it_only(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with greeter() as first:
            await started(first, path)
            os.unlink(path)
            second = greeter()
            await started(second, path)
        assert os.path.exists(path)
        assert await greeted(path) == b"hello"
        async with second:
            pass
        assert not os.path.exists(path)

    run(main)


def test_a_stale_path_is_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)

    async def main() -> None:
        error = await failed(started(net.createServer(), path))
        assert (error.code, error.address) == ("EADDRINUSE", path)

    run(main)
    assert os.path.exists(path)


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"readableAll": True}, stat.S_IROTH | stat.S_IRGRP),
        ({"writableAll": True}, stat.S_IWOTH | stat.S_IWGRP),
        ({"readableAll": True, "writableAll": True}, stat.S_IROTH | stat.S_IRGRP | stat.S_IWOTH | stat.S_IWGRP),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_a_path_for_everybody(tmp_path: Path, options: dict[str, Any], bits: int) -> None:
    async def main() -> None:
        before = os.umask(0o077)
        try:
            async with greeter() as server:
                await started(server, {"path": str(tmp_path / "socket"), **options})
                assert os.stat(tmp_path / "socket").st_mode & 0o077 == bits
        finally:
            os.umask(before)

    run(main)


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="abstract names are Linux's")
def test_an_abstract_name() -> None:
    async def main() -> None:
        name = f"\0socket2 test {os.getpid()}"
        async with greeter() as server:
            await started(server, name)
            assert server.address() == name
            assert await greeted(name) == b"hello"

    run(main)


def test_a_port_goes_before_a_path(tmp_path: Path) -> None:
    async def main() -> None:
        async with greeter() as server:
            assert await started(server, {"port": 0, "path": str(tmp_path / "socket")})
        assert not (tmp_path / "socket").exists()

    run(main)
