"""Faults of the past, each as the smallest program that shows it: timers, flow, peers and options."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from pollers import lock
from socket2.net import Socket

from .scene import all_of, ended, ignore, noting, pair, record, run, turns, until

# Timers.


def test_an_idle_timer_does_not_keep_the_loop_going() -> None:
    async def main() -> None:
        client, conn = await pair()
        for socket_ in (client, conn):
            socket_.setTimeout(60_000)
            socket_.resume()
            socket_.unref()
        sockets.extend((client, conn))

    sockets: list[Socket] = []
    alone = Socket()
    alone.setTimeout(60_000)
    run(main)  # this waits for what keeps the loop running, and fails after half the time
    for one in (*sockets, alone):
        one.destroy()
    assert socket2.start()
    assert sockets[0]._scheduler.timers.aside == 0


def test_a_timeout_that_comes_twice_and_is_taken_back_leaves_nothing() -> None:
    async def main() -> None:
        client, conn = await pair()
        client.setTimeout(1)
        await client.wait("timeout")
        client.setTimeout(1)
        await client.wait("timeout")
        client.setTimeout(1)
        client.setTimeout(0)
        assert client._scheduler.timers.aside == 0
        client.setTimeout(60_000)
        client.destroy()
        assert client._scheduler.timers.aside == 0
        conn.destroy()

    run(main)


def test_no_listener_runs_under_the_lock() -> None:
    held: list[bool] = []

    def look() -> None:
        # threading.Condition uses _is_owned() to ask whether this OS thread holds an RLock.
        held.append(lock._is_owned())  # type: ignore[attr-defined]

    async def main() -> None:
        client, conn = await pair()
        for event in ("timeout", "finish", "end", "drain"):
            client.once(event, look)
        client.once("data", lambda _: look())
        client.once("close", lambda _: look())
        client.setTimeout(1)
        await client.wait("timeout")
        client.setTimeout(0)
        client.write(bytes(12_000_000), lambda _: look())
        conn.on("data", ignore)
        await client.wait("drain")
        conn.end("hello")
        await client.wait("close")
        await ended(conn)

    run(main)
    assert held == [False] * 7


# What flows.


@pytest.mark.parametrize("way", ["listen", "resume", "pause and resume"])
def test_resume_comes_before_the_first_data(way: str) -> None:
    async def main() -> None:
        client, conn = await pair()
        conn.end("hello")
        conn.resume()
        await turns()
        log = record(client, ["resume", "end"])
        if way == "resume":
            client.resume()
        elif way == "pause and resume":
            client.pause()
            client.resume()
        client.on("data", noting(log, "data"))
        await ended(client, conn)
        assert log == ["resume", ("data", b"hello"), "end"]

    run(main)


# A peer that resets.


@pytest.mark.parametrize("ends", [False, True])
def test_a_reset_is_no_end_for_who_reads_and_writes(ends: bool) -> None:
    async def main() -> None:
        client, conn = await pair()
        log = record(client, ["data", "end", "error", "close"])
        conn.pause()
        client.end(bytes(20_000_000)) if ends else client.write(bytes(20_000_000))
        await turns()
        conn.resetAndDestroy()
        await until(log, "close")
        [(event, error), close] = log
        assert (event, error.code, close) == ("error", "ECONNRESET", ("close", True))

    run(main)


# Peers that do not read.


def test_a_peer_that_does_not_read_is_given_up() -> None:
    async def main() -> None:
        client, conn = await pair()
        conn.pause()
        conn.on("error", ignore)
        log = record(client, ["error", "close"])
        most = 0
        while not client.destroyed:
            client.write(bytes(65536))
            most = max(most, client.writableLength)
            await socket2.sleep(0)
        await until(log, "close")
        [(event, error), close] = log
        assert (event, error.code, close) == ("error", "ENOBUFS", ("close", True))
        assert (client.maxBufferSize or 0) < most < 2 << 20
        conn.destroy()

    run(main)


def test_one_turn_may_write_more_than_the_limit_but_not_for_ever() -> None:
    async def main() -> None:
        client, conn = await pair()
        for _ in range(100):
            client.write(bytes(100_000))
        assert not client.destroyed
        client.end()
        assert len(await all_of(conn)) == 10_000_000
        client.resume()
        await ended(client, conn)
        client, conn = await pair()
        client.on("error", ignore)
        conn.on("error", ignore)
        written = 0
        while not client.destroyed:
            client.write(bytes(65536))
            written += 65536
        assert 16 << 20 < written < 40 << 20  # the error has the number of bytes that the kernel has taken
        conn.destroy()
        await ended(client)

    run(main)


@pytest.mark.parametrize("limit", [None, 50 << 20])
def test_a_limit_of_ones_own(limit: int | None) -> None:
    async def main() -> None:
        client, conn = await pair(maxBufferSize=limit)
        assert client.maxBufferSize == limit
        conn.pause()
        for _ in range(100):
            client.write(bytes(300_000))
            await socket2.sleep(0)
        assert not client.destroyed
        conn.on("error", ignore)
        client.destroy()
        conn.destroy()

    run(main)


def test_one_write_may_be_of_any_size_and_send_is_not_limited() -> None:
    async def main() -> None:
        client, conn = await pair()
        client.write(bytes(30_000_000))
        await turns()
        senders = [socket2.newthread(client.send, bytes(1_000_000)) for _ in range(5)]
        await turns()
        assert not client.destroyed
        taker = socket2.newthread(all_of, conn)
        for sender in senders:
            await sender.join()
        client.end()
        assert len(await taker.join()) == 35_000_000
        client.resume()
        await ended(client, conn)

    run(main)


# Options of the kernel's socket.


def test_small_pieces_wait_as_in_node_unless_told() -> None:
    def delays(one: Socket) -> bool:
        assert one._tcp is not None
        return not one._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    async def main() -> None:
        client, conn = await pair()
        assert delays(client)
        assert delays(conn)
        client.setNoDelay()
        assert not delays(client)
        client.setNoDelay(False)
        assert delays(client)
        client.destroy()
        conn.destroy()
        client, conn = await pair({"noDelay": True}, noDelay=True)
        assert not delays(client)
        assert not delays(conn)
        client.destroy()
        conn.destroy()

    run(main)


def test_a_socket_that_is_taken_over_keeps_its_options() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            theirs, _ = listening.accept()
        with theirs, Socket(handle=ours) as taken:
            assert taken._tcp is not None
            assert taken._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    run(main)


# Callbacks of writers.


@pytest.mark.parametrize("how", ["written", "ended"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_callback_is_called_before_close(how: str, when: str) -> None:
    async def main() -> None:
        client, conn = await pair()
        log = record(client, ["close"])
        act: Callable[[], Any] = {
            "written": lambda: client.write(bytes(10_000_000), noting(log, how)),
            "ended": lambda: client.end(bytes(10_000_000), noting(log, how)),
        }[how]
        act() if when == "before" else client.destroy()
        client.destroy() if when == "before" else act()
        await until(log, "close")
        [(event, error), close] = log
        assert (event, error.code, close) == (how, "ERR_STREAM_DESTROYED", ("close", False))
        conn.on("error", ignore)
        conn.destroy()

    run(main)
