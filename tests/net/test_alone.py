"""Faults of the past, each as the smallest program that shows it. tests/interop/test_alike.py compares with Node."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from socket2 import net
from socket2.net import AbortController, BlockList, Socket

from .scene import all_of, ended, failed, ignore, pair, record, run, started, turns, until

NAMES = ["a" * 64 + ".invalid", "a..invalid", ".invalid", "\N{SNOWMAN}" * 64, "a\0b", "xn--\N{SNOWMAN}"]


# Aborted.


@pytest.mark.parametrize("by_options", [True, False])
def test_an_aborted_signal_does_not_connect(by_options: bool) -> None:
    async def main() -> None:
        async with net.createServer(ignore) as server:
            log = record(server, ["connection"])
            port = await started(server)
            control = AbortController()
            control.abort()
            if by_options:
                client = net.connect(port=port, host="127.0.0.1", signal=control.signal)
            else:
                client = Socket(signal=control.signal).connect(port, "127.0.0.1")
            assert not client.connecting
            told = record(client, ["connect", "error", "close"])
            await until(told, "close")
            await turns(10)
            [(event, error), close] = told
            assert (event, error.code, close) == ("error", "ABORT_ERR", ("close", True))
            client.connect(port, "127.0.0.1")  # read once more: it still does not, and reports that
            await until(told[2:], "close") if len(told) > 2 else await turns(10)
            assert [entry[0] for entry in told] == ["error", "close", "error", "close"]
            assert log == []

    run(main)


def test_a_signal_is_obeyed_in_every_life_of_a_socket() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.resume() and None) as server:
            port = await started(server)
            control = AbortController()
            client = Socket(signal=control.signal)
            for _ in range(2):
                client.connect(port, "127.0.0.1")
                await client.wait("connect")
                client.destroy()
                await turns()
            client.on("error", ignore)
            client.connect(port, "127.0.0.1")
            await client.wait("connect")
            control.abort()
            assert client.destroyed
            await turns()
            assert control.signal.listenerCount("abort") == 0

    run(main)


# Corked.


@pytest.mark.parametrize("corks", [1, 3])
@pytest.mark.parametrize("by", ["end", "destroySoon"])
def test_end_sends_what_is_corked(corks: int, by: str) -> None:
    async def main() -> None:
        client, conn = await pair()
        for _ in range(corks):
            client.cork()
        client.write("corked")
        assert (client.writableCorked, client.writableLength) == (corks, 6)
        getattr(client, by)()
        assert client.writableCorked == 0
        assert await all_of(conn) == b"corked"
        client.resume()
        await ended(client, conn)

    run(main)


# A high-water mark of 0.


@pytest.mark.parametrize("mark", [0, 1])
def test_the_end_is_seen_whatever_the_mark_is(mark: int) -> None:
    async def main() -> None:
        client, conn = await pair({"highWaterMark": mark}, highWaterMark=mark)
        log = record(conn, ["end", "close"])
        client.end()
        await until(log, "close")
        assert log == ["end", ("close", False)]
        client.resume()
        await ended(client)

    run(main)


# Names that cannot be looked up.


@pytest.mark.parametrize("name", NAMES)
def test_connecting_to_a_name_that_can_be_none(name: str) -> None:
    async def main() -> None:
        client = Socket()
        log = record(client, ["lookup", "error", "close"])
        client.connect(9, name)
        await until(log, "close")
        [(_, error, *_rest), (_, same), close] = log
        assert same is error
        assert (error.code, error.syscall, error.hostname, close) == (
            "ENOTFOUND",
            "getaddrinfo",
            name,
            ("close", True),
        )
        assert isinstance(error, socket.gaierror)

    run(main)


@pytest.mark.parametrize("name", NAMES)
def test_listening_on_a_name_that_can_be_none(name: str) -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["listening", "error"])
        server.listen(0, name)
        await until(log, "error")
        [(_, error)] = log
        assert (error.code, error.syscall, error.hostname) == ("ENOTFOUND", "getaddrinfo", name)
        assert not server.listening
        await started(server)  # it may listen again
        server.close()

    run(main)


@pytest.mark.parametrize("path", ["/" + "a" * 200, "a\0b"])
def test_a_path_that_can_be_none(path: str) -> None:
    async def main() -> None:
        error = await failed(net.connect({"path": path}).wait("connect"))
        assert (error.code, error.syscall) == ("EINVAL", "connect")
        error = await failed(net.createServer().listen({"path": path}).wait("listening"))
        assert (error.code, error.syscall) == ("EINVAL", "listen")

    run(main)


# Addresses that are the same.

SAME = [
    ("1.1.1.2", "::ffff:1.1.1.2"),
    ("1.1.1.2", "::FFFF:101:102"),
    ("fe80::1", "fe80::1%lo"),
    ("fe80::1%lo", "fe80::1"),
    ("fe80::1%lo", "fe80::1%eth0"),
    ("::ffff:1.1.1.2", "1.1.1.2"),
]


def family(address: str) -> str:
    return f"ipv{net.isIP(address)}"


@pytest.mark.parametrize(("blocked", "asked"), SAME)
@pytest.mark.parametrize("by", ["address", "range", "subnet", "object", "json"])
def test_an_address_is_blocked_however_it_is_written(blocked: str, asked: str, by: str) -> None:
    rules = BlockList()
    if by == "address":
        rules.addAddress(blocked, family(blocked))
    elif by == "range":
        rules.addRange(blocked, blocked, family(blocked))
    elif by == "subnet":
        rules.addSubnet(blocked, 32 if net.isIPv4(blocked) else 128, family(blocked))
    elif by == "object":
        rules.addAddress(net.SocketAddress(address=blocked, family=family(blocked)))
    else:
        first = BlockList()
        first.addAddress(blocked, family(blocked))
        rules.fromJSON(first.toJSON())
    assert rules.check(asked, family(asked))
    assert rules.check(net.SocketAddress(address=asked, family=family(asked)))
    assert not rules.check("1.1.1.3")
    assert not rules.check("::1.1.1.2", "ipv6")
    assert not rules.check("fe80::2%lo", "ipv6")


def test_a_connection_to_a_blocked_address_in_another_spelling() -> None:
    async def main() -> None:
        rules = BlockList()
        rules.addAddress("127.0.0.1")
        client = net.connect(port=9, host="::ffff:127.0.0.1", blockList=rules)
        assert (await failed(client.wait("connect"))).code == "ERR_IP_BLOCKED"

    run(main)


# Listeners that fail.


def oops(*_: Any) -> None:
    raise ValueError("oops")


@pytest.mark.parametrize("event", ["connect", "data", "end", "finish", "close"])
def test_the_other_listeners_hear_of_it(crashes: list[BaseException], event: str) -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.end("hello") and None) as server:
            server.on("connection", lambda conn: conn.on("error", ignore) and None)
            server.on("connection", lambda conn: conn.resume() and None)
            client = Socket()
            client.on(event, oops)
            log = record(client, [event])
            client.resume()
            client.connect(await started(server), "127.0.0.1")
            client.end()
            if event != "close":
                await client.wait("close")
            await until(log, event)
            assert client.destroyed

    run(main)
    assert {str(error) for error in crashes} == {"oops"}
    crashes.clear()


def test_the_other_listeners_of_a_server_hear_of_it(crashes: list[BaseException]) -> None:
    async def main() -> None:
        server = net.createServer()
        log: list[Any] = []
        for event in ("listening", "connection", "close"):
            server.on(event, oops)
            record(server, [event], log)
        client = net.connect(await started(server), "127.0.0.1")
        client.on("error", ignore)
        client.resume()
        await until(log, "connection")
        server.close()
        await until(log, "close")
        await ended(client)

    run(main)
    assert [str(error) for error in crashes] == ["oops"] * 3
    crashes.clear()


def test_close_tells_of_an_error_only_if_there_was_one(crashes: list[BaseException]) -> None:
    async def main() -> None:
        client, conn = await pair()
        log = record(client, ["error", "close"])
        client.on("data", oops)
        conn.end("hello")
        conn.resume()
        await until(log, "close")
        [(event, error), close] = log
        assert (event, str(error), close) == ("error", "oops", ("close", True))
        # A write after the end that is no longer reported.
        client, conn = await pair()
        log = record(client, ["error", "close"])
        client.end()
        client.write("late")
        client.destroy()
        await until(log, "close")
        assert log == [("close", False)]
        conn.resume()
        await ended(conn)

    run(main)
    crashes.clear()
