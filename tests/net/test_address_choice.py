"""connect(): addresses to choose from, a socket's life before, and connecting again."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from socket2 import net
from socket2.net import AggregateError, BlockList, Socket

from ..interop.peers import swallowing
from ..machine import has_ipv6, needs_ipv6
from .scene import SOCKET_EVENTS, all_of, ended, failed, noting, record, run, started, turns, until
from .test_connect import greeter, refused_port

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
