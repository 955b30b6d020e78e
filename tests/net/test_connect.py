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
from socket2.net import AggregateError, BlockList, RangeError, Server, Socket

from ..interop.peers import swallowing
from ..machine import has_ipv6, needs_ipv6
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


# Addresses to choose from.


def finding(*addresses: str) -> dict[str, Any]:
    return {"host": "somewhere", "lookup": lambda host, options, answer: answer(None, list(addresses))}


def test_the_addresses_are_tried_in_turn() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect({"port": port, **finding("::1", "127.0.0.2", "127.0.0.1")})
            events = ["connectionAttempt", "connectionAttemptFailed", "connect"]
            log = record(client, events)
            assert await all_of(client) == b"hello"
            assert [entry[:4] for entry in log if isinstance(entry, tuple)] == [
                ("connectionAttempt", "::1", port, 6),
                ("connectionAttemptFailed", "::1", port, 6),
                ("connectionAttempt", "127.0.0.2", port, 4),
                ("connectionAttemptFailed", "127.0.0.2", port, 4),
                ("connectionAttempt", "127.0.0.1", port, 4),
            ]
            assert client.autoSelectFamilyAttemptedAddresses == [
                f"[::1]:{port}",
                f"127.0.0.2:{port}",
                f"127.0.0.1:{port}",
            ]
            await ended(client)

    run(main)


def test_the_families_take_turns() -> None:
    async def main() -> None:
        port = refused_port()
        client = net.connect({"port": port, **finding("::1", "127.0.0.1", "127.0.0.2")})
        assert isinstance(await failed(client.wait("connect")), AggregateError)
        client = net.connect({"port": port, **finding("127.0.0.1", "127.0.0.2", "::1")})
        log = record(client, ["connectionAttempt"])
        await failed(client.wait("connect"))
        assert [entry[1] for entry in log] == ["127.0.0.1", "::1", "127.0.0.2"]

    run(main)


def test_when_no_address_answers_there_is_an_error_for_each() -> None:
    async def main() -> None:
        port = refused_port()
        error = await failed(net.connect({"port": port, **finding("127.0.0.2", "127.0.0.1")}).wait("connect"))
        assert isinstance(error, AggregateError)
        assert [(one.address, one.port, one.code) for one in error.errors] == [  # type: ignore[attr-defined]
            ("127.0.0.2", port, "ECONNREFUSED"),
            ("127.0.0.1", port, "ECONNREFUSED"),
        ]
        assert error.code == "ECONNREFUSED"

    run(main)


def test_an_address_that_was_slow_may_still_win() -> None:
    """Node gives up the slow attempt, and after the last address none is left."""

    async def main() -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.2", 0))
            full.listen(0)
            for sock in (first, second):
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            await turns()
            options = {"port": full.getsockname()[1], "autoSelectFamilyAttemptTimeout": 20}
            client = net.connect({**options, **finding("127.0.0.2", "127.0.0.1")})
            await client.wait("connectionAttemptFailed")  # nobody listens there
            full.accept()[0].close()  # now there is room
            full.accept()[0].close()
            await client.wait("connect")
            assert client.remoteAddress == "127.0.0.2"
            client.destroy()

    run(main)


def test_without_auto_select_family_the_first_address_is_the_only_one() -> None:
    async def main() -> None:
        options = {"port": refused_port(), "autoSelectFamily": False, **finding("127.0.0.2", "127.0.0.1")}
        client = net.connect(options)
        assert (await failed(client.wait("connect"))).address == "127.0.0.2"
        assert client.autoSelectFamilyAttemptedAddresses is None

    run(main)


def test_an_attempt_that_takes_too_long() -> None:
    """A listener whose backlog is full answers nobody."""

    async def main() -> None:
        with swallowing("127.0.0.2") as port:
            async with greeter(port, "127.0.0.1"):
                options = {"port": port, "autoSelectFamilyAttemptTimeout": 20, **finding("127.0.0.2", "127.0.0.1")}
                client = net.connect(options)
                log = record(client, ["connectionAttemptTimeout"])
                assert await all_of(client) == b"hello"
                assert log == [("connectionAttemptTimeout", "127.0.0.2", port, 4)]
                await ended(client)

    run(main)


@pytest.mark.parametrize(("family", "address"), [(4, "127.0.0.1"), pytest.param(6, "::1", marks=needs_ipv6)])
def test_a_family(family: int, address: str) -> None:
    async def main() -> None:
        async with greeter(0, "::" if has_ipv6() else "0.0.0.0") as (_, port):
            client = net.connect({"port": port, "host": "localhost", "family": family})
            await client.wait("connect")
            assert client.remoteAddress == address
            client.destroy()

    run(main)


def test_a_local_address_and_port() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server)
            local = refused_port()
            client = net.connect({"port": port, "host": "127.0.0.1", "localAddress": "127.0.0.3", "localPort": local})
            conn = await server.accept()
            assert (conn.remoteAddress, conn.remotePort) == ("127.0.0.3", local)
            await turns()
            assert (client.localAddress, client.localPort) == ("127.0.0.3", local)
            client.destroy()
            conn.destroy()

    run(main)


def test_a_blocked_address() -> None:
    async def main() -> None:
        blocked = BlockList()
        blocked.addSubnet("127.0.0.0", 8)
        for options in ({"host": "127.0.0.1"}, finding("127.0.0.1", "127.0.0.2")):
            error = await failed(net.connect({"port": 1, "blockList": blocked, **options}).wait("connect"))
            assert error.code == "ERR_IP_BLOCKED"

    run(main)


def test_blocked_addresses_are_left_out() -> None:
    async def main() -> None:
        blocked = BlockList()
        blocked.addAddress("127.0.0.2")
        async with greeter() as (_, port):
            client = net.connect({"port": port, "blockList": blocked, **finding("127.0.0.2", "127.0.0.1")})
            assert await all_of(client) == b"hello"
            await ended(client)

    run(main)


# Before, and again.


def test_connecting_twice_raises() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "127.0.0.1")
            for _ in range(2):
                with pytest.raises(RuntimeError):
                    client.connect(port, "127.0.0.1")
                if client.connecting:
                    await client.wait("connect")
            client.destroy()

    run(main)


@pytest.mark.parametrize("graceful", [True, False], ids=["ended", "destroyed"])
def test_a_closed_socket_may_be_connected_again(graceful: bool) -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = Socket()
            log = record(client, ["connect", "data", "end", "close"])
            for _ in range(3):
                client.connect(port, "127.0.0.1")
                assert (client.bytesRead, client.bytesWritten) == (0, 0)
                client.write("question")
                await client.wait("data")
                if not graceful:
                    client.destroy()
                await client.wait("close")
                assert client.bytesRead == 5
            once = ["connect", ("data", b"hello"), "end", ("close", False)]
            if not graceful:
                once.remove("end")
            assert [entry for entry in log if graceful or entry != "end"] == once * 3

    run(main)


def test_connecting_again_in_the_listener_of_close() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = Socket()
            log = record(client, ["connect", "data", "end", "close"])
            client.once("close", lambda had_error: client.connect(port, "127.0.0.1"))
            client.connect(refused_port(), "127.0.0.1")
            client.once("error", noting(log, "error"))
            while log.count(("close", False)) < 1:
                await turns()
            assert [entry if isinstance(entry, str) else entry[0] for entry in log] == [
                "error",
                "close",
                "connect",
                "data",
                "end",
                "close",
            ]

    run(main)


def test_connecting_again_at_once() -> None:
    """Postponed events of the first connection must not reach the second one."""

    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "127.0.0.1")
            await client.wait("connect")
            client.end("first")
            client._finish()  # so that 'finish' is postponed
            client.destroy()
            log = record(client, ["connect", "finish", "end", "close"])
            client.connect(port, "127.0.0.1")
            client.write("second")
            await until(log, "connect")
            assert client.writable
            assert log == [("close", False), "connect"]
            client.resume()
            while log.count(("close", False)) < 2:
                await turns()
            assert log == [("close", False), "connect", "end", "finish", ("close", False)]

    run(main)


def test_destroying_while_connecting() -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "localhost")
            log = record(client, SOCKET_EVENTS)
            client.destroy()
            assert not client.connecting
            await turns(10)
            assert log == [("close", False)]

    run(main)


@pytest.mark.parametrize("event", ["lookup", "connectionAttempt", "connect"])
def test_destroying_on_the_way(event: str) -> None:
    async def main() -> None:
        async with greeter() as (_, port):
            client = net.connect(port, "localhost")
            client.on(event, lambda *args: client.destroy())
            log = record(client, SOCKET_EVENTS)
            await until(log, "close")
            await turns(10)
            order = ["lookup", "connect"]
            assert [entry if isinstance(entry, str) else entry[0] for entry in log] == [
                *(order if event == "connect" else order[:1]),
                "close",
            ]

    run(main)


def test_a_timeout_while_connecting() -> None:
    async def main() -> None:
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for sock in (first, second):
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            await turns()
            client = net.connect({"port": full.getsockname()[1], "host": "127.0.0.1", "timeout": 10})
            await client.wait("timeout")
            assert client.connecting
            client.destroy()
            await ended(client)

    run(main)


def test_an_aborted_signal_destroys_the_socket() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.resume()) as server:
            controller = net.AbortController()
            client = net.connect({"port": await started(server), "host": "127.0.0.1", "signal": controller.signal})
            log = record(client, ["error", "close"])
            await turns(5)
            controller.abort("enough")
            await turns()
            [(event, error), closed] = log
            assert (event, error.code, error.cause, closed) == ("error", "ABORT_ERR", "enough", ("close", True))

    run(main)


def test_a_signal_that_was_aborted_before() -> None:
    async def main() -> None:
        controller = net.AbortController()
        controller.abort()
        client = Socket({"signal": controller.signal})
        log = record(client, ["error", "close"])
        await turns()
        assert client.destroyed
        assert [entry[0] for entry in log] == ["error", "close"]

    run(main)
