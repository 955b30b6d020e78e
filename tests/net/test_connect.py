"""connect(): its forms, the events on the way, what goes wrong, and connecting again."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import RangeError, Server, Socket

from .scene import SOCKET_EVENTS, all_of, ended, failed, greet, noting, record, run, started, turns, until


@asynccontextmanager
async def greeter(*where: Any) -> AsyncIterator[tuple[Server, int]]:
    async with net.createServer(greet) as server:
        yield server, await started(server, *where)


def refused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# Forms.


@pytest.mark.parametrize(
    "form",
    [
        lambda port: (port,),
        lambda port: (str(port),),
        lambda port: (hex(port),),
        lambda port: (port, "127.0.0.1"),
        lambda port: (port, "localhost"),
        lambda port: (port, None),
        lambda port: ({"port": port},),
        lambda port: ({"port": str(port), "host": "127.0.0.1"},),
    ],
)
@pytest.mark.parametrize("how", [net.connect, lambda *args: Socket().connect(*args)], ids=["function", "method"])
@pytest.mark.parametrize("with_callback", [False, True])
def test_forms_of_connect(form: Callable[[int], Any], how: Callable[..., Socket], with_callback: bool) -> None:
    async def main() -> None:
        log: list[Any] = []
        async with greeter() as (_, port):
            client = how(*form(port), *([noting(log, "connected")] if with_callback else []))
            assert isinstance(client, Socket)
            assert await all_of(client) == b"hello"
            await ended(client)
        assert log == ["connected"] * with_callback

    run(main)


def test_a_path(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with greeter(path):
            for client in (
                net.connect(path),
                net.connect({"path": path}),
                net.connect(path=path),
                Socket().connect(path),
            ):
                assert await all_of(client) == b"hello"
                await ended(client)

    run(main)


def test_connect_in_a_later_turn_even_of_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        async with greeter(str(tmp_path / "socket")):
            client = net.connect(str(tmp_path / "socket"))
            log = record(client, ["connect"])
            assert client.connecting
            await turns()
            assert log == ["connect"]
            assert await all_of(client) == b"hello"

    run(main)


@pytest.mark.parametrize(
    ("options", "error", "code"),
    [
        ({}, TypeError, "ERR_MISSING_ARGS"),
        ({"port": -1}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": 65536}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": 0.5}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": float("nan")}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": ""}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": "http"}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": True}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": []}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": 1, "localAddress": "localhost"}, TypeError, "ERR_INVALID_IP_ADDRESS"),
        ({"port": 1, "localPort": "5"}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": 1, "localPort": 65536}, RangeError, "ERR_SOCKET_BAD_PORT"),
        ({"port": 1, "lookup": "dns"}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": 1, "host": 5}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": 1, "family": 5}, ValueError, "ERR_INVALID_ARG_VALUE"),
        ({"port": 1, "autoSelectFamilyAttemptTimeout": 0}, RangeError, "ERR_OUT_OF_RANGE"),
        ({"port": 1, "autoSelectFamilyAttemptTimeout": "1"}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"path": 5}, TypeError, "ERR_INVALID_ARG_TYPE"),
        ({"port": 1, "colour": "red"}, TypeError, None),
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], error: type[Exception], code: str | None) -> None:
    client = Socket()
    with pytest.raises(error) as refused:
        client.connect(options)
    assert getattr(refused.value, "code", None) == code
    assert not client.connecting


def test_what_is_no_path_and_no_port() -> None:
    with pytest.raises(RangeError):
        net.connect("65536")
    with pytest.raises(TypeError):
        net.connect(80, "localhost", "more")


# Events.


def test_events_in_order() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "localhost")
            log = record(client, SOCKET_EVENTS)
            assert log == []
            assert client.connecting
            assert client.pending
            assert client.readyState == "opening"
            await client.wait("close")
            lookup = ("lookup", None, "127.0.0.1", 4, "localhost")
            assert log == [lookup, "connect", "ready", ("data", b"hello"), "end", "finish", ("close", False)]
            await turns()
            assert log[-1] == ("close", False)

    run(main)


def test_no_lookup_of_an_address() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "127.0.0.1")
            log = record(client, ["lookup", "connectionAttempt"])
            await all_of(client)
            assert log == [("connectionAttempt", "127.0.0.1", port, 4)]
            await ended(client)

    run(main)


def test_a_failed_lookup() -> None:
    async def main() -> None:
        client = net.connect(80, "no-such-host.invalid")
        log = record(client, SOCKET_EVENTS)
        await until(log, "close")
        [(lookup, error, address, family, host), (failed, same), closed] = log
        assert (lookup, address, family, host) == ("lookup", None, None, "no-such-host.invalid")
        assert (failed, closed) == ("error", ("close", True))
        assert same is error
        assert error.syscall == "getaddrinfo"
        assert error.code in ("ENOTFOUND", "EAI_AGAIN")

    run(main)


def test_a_refused_connection() -> None:
    async def main() -> None:
        port = refused_port()
        client = net.connect(port, "127.0.0.1")
        log = record(client, SOCKET_EVENTS)
        assert log == []
        await until(log, "close")
        [(event, error), closed] = log
        assert (event, closed) == ("error", ("close", True))
        assert (error.code, error.errno, error.syscall) == ("ECONNREFUSED", errno.ECONNREFUSED, "connect")
        assert (error.address, error.port) == ("127.0.0.1", port)
        assert client.destroyed
        assert client.readyState == "closed"

    run(main)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    async def main() -> None:
        client = net.connect(str(tmp_path / "nothing"))
        log = record(client, SOCKET_EVENTS)
        await until(log, "close")
        [(event, error), closed] = log
        assert (event, error.code, error.address, closed) == (
            "error",
            "ENOENT",
            str(tmp_path / "nothing"),
            ("close", True),
        )

    run(main)


def test_an_error_that_nobody_listens_to_is_reported(crashes: list[BaseException]) -> None:
    async def main() -> None:
        await until(record(net.connect(refused_port(), "127.0.0.1"), ["close"]), "close")

    run(main)
    assert [type(error) for error in crashes] == [ConnectionRefusedError]
    crashes.clear()


def test_an_error_is_raised_in_who_waits() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await net.connect(refused_port(), "127.0.0.1").wait("connect")
        with pytest.raises(ConnectionRefusedError):
            await net.connect(refused_port(), "127.0.0.1").recv()
        with pytest.raises(ConnectionRefusedError):
            await net.connect(refused_port(), "127.0.0.1").send(b"hello")

    run(main)


# The program's own lookups.


def calling_back(host: str, options: dict[str, Any], answer: Any) -> None:
    answer(None, "127.0.0.1", 4)


def with_all(host: str, options: dict[str, Any], answer: Any) -> None:
    assert options["all"]
    answer(None, [{"address": "127.0.0.1", "family": 4}])


def as_generator(host: str, options: dict[str, Any], answer: Any) -> Generator[Any, None, str]:
    yield from socket2.sleep(0.001)
    return "127.0.0.1"


async def as_coroutine(host: str, options: dict[str, Any], answer: Any) -> list[str]:
    await socket2.sleep(0.001)
    return ["127.0.0.1"]


@pytest.mark.parametrize("lookup", [calling_back, with_all, as_generator, as_coroutine])
def test_a_lookup_function(lookup: Any) -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect({"port": port, "host": "somewhere", "lookup": lookup})
            log = record(client, ["lookup"])
            assert await all_of(client) == b"hello"
            assert log == [("lookup", None, "127.0.0.1", 4, "somewhere")]
            await ended(client)

    run(main)


@pytest.mark.parametrize(("answer", "code"), [("nonsense", "ERR_INVALID_IP_ADDRESS"), ([], "ENOTFOUND")])
def test_a_lookup_function_that_finds_nothing(answer: Any, code: str) -> None:
    async def main() -> None:
        options = {"port": 1, "host": "somewhere", "lookup": lambda host, options, callback: callback(None, answer)}
        assert (await failed(net.connect(options).wait("connect"))).code == code

    run(main)


def test_a_lookup_function_that_fails() -> None:
    async def main() -> None:
        options = {"port": 1, "host": "somewhere", "lookup": lambda host, options, callback: callback(KeyError(host))}
        with pytest.raises(KeyError):
            await net.connect(options).wait("connect")

    run(main)
