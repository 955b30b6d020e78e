"""listen() on sockets that exist already, and its errors."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import RangeError

from .scene import SERVER_EVENTS, failed, record, run, started, turns, until
from .test_listen import greeted, greeter

# Sockets that exist already.


def bound() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.parametrize("backlog", [(), (7,)])
def test_a_descriptor(backlog: tuple[int, ...]) -> None:
    async def main() -> None:
        sock = bound()
        port = sock.getsockname()[1]
        async with greeter() as server:
            assert await started(server, {"fd": sock.detach()}, *backlog) == port
            assert await greeted(port, "127.0.0.1") == b"hello"

    run(main)


@pytest.mark.parametrize("listens", [False, True])
@pytest.mark.parametrize("form", [lambda handle: (handle,), lambda handle: ({"handle": handle},)], ids=["it", "option"])
def test_a_socket_of_the_standard_library(form: Any, listens: bool) -> None:
    async def main() -> None:
        with bound() as sock:
            if listens:
                sock.listen()
            async with greeter() as server:
                port = await started(server, *form(sock))
                assert port == sock.getsockname()[1]
                assert await greeted(port, "127.0.0.1") == b"hello"
            assert sock.fileno() >= 0

    run(main)


def test_a_socket_of_socket2() -> None:
    async def main() -> None:
        with socket2.tcp() as sock:
            sock.bind("127.0.0.1")
            async with greeter() as server:
                assert await started(server, sock) == sock.local_address[1]
                assert await greeted(sock.local_address[1], "127.0.0.1") == b"hello"

    run(main)


def test_another_server() -> None:
    async def main() -> None:
        async with greeter() as server:
            async with net.createServer() as first:
                port = await started(first)
                assert await started(server, first) == port
            assert await greeted(port, "127.0.0.1") == b"hello"

    run(main)


def open_descriptor(kind: str, directory: Path) -> int:
    if kind == "closed":
        fd = os.open(directory, os.O_RDONLY)
        os.close(fd)
        return fd
    if kind == "no socket":
        return os.open(directory, os.O_RDONLY)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        return os.dup(sock.fileno())


@pytest.mark.parametrize(
    ("kind", "code"), [("closed", "EBADF"), ("no socket", "ENOTSOCK"), ("datagrams", "EINVAL")], ids=str
)
def test_a_bad_descriptor_is_an_error_later(tmp_path: Path, kind: str, code: str) -> None:
    async def main() -> None:
        fd = open_descriptor(kind, tmp_path)
        server = net.createServer()
        log = record(server, SERVER_EVENTS)
        server.listen({"fd": fd})
        assert log == []
        await turns()
        assert [(event, error.code) for event, error in log] == [("error", code)]
        if kind != "closed":
            os.close(fd)

    run(main)


# Errors.


@pytest.mark.parametrize(
    ("args", "error", "code"),
    [
        ((-1,), RangeError, "ERR_SOCKET_BAD_PORT"),
        ((65536,), RangeError, "ERR_SOCKET_BAD_PORT"),
        ((1.5,), RangeError, "ERR_SOCKET_BAD_PORT"),
        ((float("nan"),), RangeError, "ERR_SOCKET_BAD_PORT"),
        (({"port": True},), TypeError, "ERR_INVALID_ARG_TYPE"),
        (({},), TypeError, "ERR_INVALID_ARG_VALUE"),
        (({"host": "localhost"},), TypeError, "ERR_INVALID_ARG_VALUE"),
        ((Ellipsis,), TypeError, "ERR_INVALID_ARG_VALUE"),
        (({"fd": -1},), RangeError, "ERR_OUT_OF_RANGE"),
        (({"fd": "3"},), TypeError, "ERR_INVALID_ARG_TYPE"),
        (({"port": 0, "backlog": "many"},), TypeError, "ERR_INVALID_ARG_TYPE"),
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused_at_once(args: tuple[Any, ...], error: type[Exception], code: str) -> None:
    server = net.createServer()
    with pytest.raises(error) as refused:
        server.listen(*args)
    assert refused.value.code == code  # type: ignore[attr-defined]
    assert not server.listening


@pytest.mark.parametrize("args", [(0, "127.0.0.1", 5, 6), ({"port": 0, "colour": "red"},), ({"port": 0, "host": 5},)])
def test_arguments_that_nobody_knows_are_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        net.createServer().listen(*args)


def test_a_port_in_use_is_an_error_later_and_no_close() -> None:
    async def main() -> None:
        async with net.createServer() as first:
            port = await started(first)
            server = net.createServer()
            log = record(server, SERVER_EVENTS)
            server.listen(port, "127.0.0.1")
            assert log == []
            await turns()
            [(event, error)] = log
            assert event == "error"
            assert (error.code, error.errno, error.syscall) == ("EADDRINUSE", errno.EADDRINUSE, "listen")
            assert (error.address, error.port) == ("127.0.0.1", port)
            assert not server.listening
            assert server.address() is None

    run(main)


def test_listening_again_in_the_listener_of_error() -> None:
    async def main() -> None:
        async with net.createServer() as first, net.createServer() as server:
            port = await started(first)
            server.once("error", lambda error: server.listen(0, "127.0.0.1"))
            server.listen(port, "127.0.0.1")
            await until(record(server, ["listening"]), "listening")
            assert server.listening

    run(main)


def test_a_name_that_is_not_found_is_an_error() -> None:
    async def main() -> None:
        error = await failed(started(net.createServer(), 0, "no-such-host.invalid"))
        assert error.syscall == "getaddrinfo"
        assert error.code in ("ENOTFOUND", "EAI_AGAIN")

    run(main)


def test_listening_twice_raises() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            server.listen(0, "127.0.0.1")
            with pytest.raises(RuntimeError) as refused:
                server.listen(0, "127.0.0.1")
            assert refused.value.code == "ERR_SERVER_ALREADY_LISTEN"  # type: ignore[attr-defined]
            await server.wait("listening")

    run(main)


def test_listening_again_after_close() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, SERVER_EVENTS)
        for _ in range(2):
            await started(server)
            server.close()
            await server.wait("close")
        assert log == ["listening", "close"] * 2

    run(main)


def test_listening_comes_in_a_later_turn() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            log = record(server, SERVER_EVENTS)
            server.listen(0, "127.0.0.1")
            assert log == []
            assert server.address() is None
            assert server.listening
            await turns()
            assert log == ["listening"]

    run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listening_does_not_come_after_close(host: str) -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, SERVER_EVENTS)
        server.listen(0, host)
        server.close()
        await turns(10)
        assert log == ["close"]

    run(main)


@pytest.mark.parametrize("before", [False, True], ids=["aborted later", "aborted before"])
def test_an_aborted_signal_closes_the_server(before: bool) -> None:
    async def main() -> None:
        controller = net.AbortController()
        server = net.createServer()
        log = record(server, SERVER_EVENTS)
        if before:
            controller.abort()
        server.listen({"port": 0, "host": "127.0.0.1", "signal": controller.signal})
        if not before:
            await server.wait("listening")
            controller.abort()
        await server.wait("close")
        assert log == (["close"] if before else ["listening", "close"])
        assert controller.signal.listenerCount("abort") == 0

    run(main)


def test_a_signal_is_an_abort_signal() -> None:
    with pytest.raises(TypeError):
        net.createServer().listen({"port": 0, "signal": object()})
