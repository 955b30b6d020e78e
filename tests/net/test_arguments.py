"""Wrong arguments and options: the call refuses them, or an 'error' event with a code reports them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import RangeError, Server, Socket

from .scene import failed, ignore, record, run, started, turns

NO_COUNTS: list[tuple[Any, type[Exception], str]] = [
    (-1, RangeError, "ERR_INVALID_ARG_VALUE"),
    (1.5, RangeError, "ERR_INVALID_ARG_VALUE"),
    (math.nan, RangeError, "ERR_INVALID_ARG_VALUE"),
    (math.inf, RangeError, "ERR_INVALID_ARG_VALUE"),
    ("5", TypeError, "ERR_INVALID_ARG_TYPE"),
    (True, TypeError, "ERR_INVALID_ARG_TYPE"),
]


def as_written(value: object) -> str:
    """Return a name without an address in memory: all processes that share the tests must use the same names."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize(("count", "kind", "code"), NO_COUNTS, ids=as_written)
@pytest.mark.parametrize("option", ["highWaterMark", "maxBufferSize"])
@pytest.mark.parametrize("make", [Socket, Server])
def test_what_counts_no_bytes(make: Any, option: str, count: Any, kind: type[Exception], code: str) -> None:
    with pytest.raises(kind) as refused:
        make({option: count})
    assert refused.value.code == code  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "kind", "code"), NO_COUNTS, ids=as_written)
def test_what_counts_no_connections(count: Any, kind: type[Exception], code: str) -> None:
    server = net.createServer()
    with pytest.raises(kind):
        server.maxConnections = count
    assert server.maxConnections is None


def test_no_mark_is_the_default() -> None:
    assert Socket(highWaterMark=None).readableHighWaterMark == Socket().readableHighWaterMark == 16384


@pytest.mark.parametrize("make", [Socket, Server, lambda options: net.connect({"port": 9, **options})])
def test_a_block_list_that_is_none(make: Any) -> None:
    with pytest.raises(TypeError) as refused:
        make({"blockList": ["1.1.1.1"]})
    assert refused.value.code == "ERR_INVALID_ARG_TYPE"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "onread",
    [5, {}, {"buffer": bytearray(3)}, {"callback": ignore}, {"buffer": b"bytes", "callback": ignore}],
    ids=as_written,
)
def test_an_onread_that_is_none(onread: Any) -> None:
    with pytest.raises(TypeError) as refused:
        Socket(onread=onread)
    assert refused.value.code == "ERR_INVALID_ARG_TYPE"  # type: ignore[attr-defined]


class NoDescriptor:
    fd = None


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"port": 0, "host": "fe80::1%nosuch"}, "ENOTFOUND"),
        ({"handle": NoDescriptor()}, "EBADF"),
        ({"path": "/\ud800"}, "EINVAL"),
        ({"path": "a\0b"}, "EINVAL"),
    ],
    ids=as_written,
)
def test_listening_fails_with_a_code_and_can_be_tried_again(where: dict[str, Any], code: str) -> None:
    async def main() -> None:
        server = net.createServer()
        assert (await failed(server.listen(where).wait("listening"))).code == code
        await started(server)
        server.close()

    run(main)


def test_any_backlog_will_do() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            server.listen({"port": 0, "host": "127.0.0.1", "backlog": 2**40})
            await server.wait("listening")

    run(main)


@pytest.mark.parametrize(
    ("where", "code", "syscall"),
    [
        ({"port": 9, "host": "fe80::1%nosuch"}, "ENOTFOUND", "connect"),
        ({"port": 9, "host": "127.0.0.1", "localAddress": "::1"}, "EINVAL", "bind"),
        ({"port": 9, "host": "127.0.0.1", "localAddress": "192.0.2.1"}, "EADDRNOTAVAIL", "bind"),
        ({"path": "/\ud800"}, "EINVAL", "connect"),
        ({"port": 9, "host": "x", "lookup": lambda host, how, answer: answer("no")}, "EAI_FAIL", None),
        ({"port": 9, "host": "x", "lookup": lambda host, how, answer: answer(None, [])}, "ENOTFOUND", None),
        (
            {"port": 9, "host": "x", "lookup": lambda host, how, answer: answer(None, [None])},
            "ERR_INVALID_IP_ADDRESS",
            None,
        ),
    ],
    ids=as_written,
)
def test_connecting_fails_with_a_code(where: dict[str, Any], code: str, syscall: str | None) -> None:
    async def main() -> None:
        error = await failed(net.connect(where).wait("connect"))
        assert (error.code, getattr(error, "syscall", None)) == (code, syscall)

    run(main)


# A pause of a server.


@pytest.mark.parametrize("ended_by", ["close", "the end of the loop"])
def test_a_pause_does_not_keep_a_loop_going_that_the_server_does_not(ended_by: str) -> None:
    servers: list[Server] = []

    async def main() -> None:
        server = net.createServer(ignore).unref()
        servers.append(server)
        await started(server)
        server.pause(60_000)
        server.pause(60_000)
        if ended_by == "close":
            server.close()
            await turns()

    run(main)  # this waits for what keeps the loop running
    servers[0].close()
    assert socket2.start()


def test_a_pause_that_is_over_goes_on_accepting() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.destroy() and None) as server:
            log = record(server, ["connection"])
            port = await started(server)
            server.pause(20)
            client = net.connect(port, "127.0.0.1")
            client.on("error", ignore)
            client.resume()
            await client.wait("close")
            assert [entry[0] for entry in log] == ["connection"]

    run(main)
