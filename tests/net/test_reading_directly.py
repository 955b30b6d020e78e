"""Reading into a buffer of the program's own, recv(), piping, and what keeps the loop running."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Socket

from ..interop.peers import LIMIT_S
from .scene import all_of, ended, failed, ignore, port_of, record, run, started, turns, until
from .test_reading import MUCH, connected

# A buffer of the program's own.


@pytest.mark.parametrize("made", [False, True], ids=["a buffer", "a function"])
def test_onread(made: bool) -> None:
    async def main() -> None:
        buffer = bytearray(4)
        parts: list[bytes] = []

        def take(n: int, where: bytearray) -> Any:
            assert where is buffer
            parts.append(bytes(where[:n]))
            return False if len(parts) == 1 else None

        async with net.createServer(lambda conn: conn.end("hello, world")) as server:
            onread = {"buffer": (lambda: buffer) if made else buffer, "callback": take}
            client = net.connect({"port": await started(server), "host": "127.0.0.1", "onread": onread})
            log = record(client, ["data", "end", "close"])
            await client.wait("pause")
            await turns(5)
            assert parts == [b"hell"]
            client.resume()
            await until(log, "close")
            assert parts == [b"hell", b"o, w", b"orld"]
            assert log == ["end", ("close", False)]
            assert client.bytesRead == 12

    run(main)


def test_onread_that_fails(crashes: list[BaseException]) -> None:
    async def main() -> None:
        def take(n: int, where: bytearray) -> None:
            raise ValueError("oops")

        async with net.createServer(lambda conn: conn.on("error", ignore) and conn.write("hello")) as server:
            server.on("connection", lambda conn: conn.resume())
            onread = {"buffer": bytearray(9), "callback": take}
            client = net.connect({"port": await started(server), "host": "127.0.0.1", "onread": onread})
            await ended(client)

    run(main)
    assert [str(error) for error in crashes] == ["oops"]
    crashes.clear()


# Direct style.


def test_recv() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.write("hello")
            assert await client.recv(2) == b"he"
            assert await client.recv() == b"llo"
            conn.end()
            assert await client.recv() == b""
            assert await client.recv() == b""

    run(main)


def test_recv_in_a_generator() -> None:
    async def main() -> None:
        def reader(client: Socket) -> Any:
            return (yield from client.recv(5))

        async with connected() as (client, conn):
            conn.write("hello")
            assert await socket2.newthread(reader, client).join() == b"hello"

    run(main)


def test_iterating_over_a_socket() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            conn.end(MUCH)
            assert await all_of(client) == MUCH

    run(main)


@pytest.mark.parametrize("n", [0, -1])
def test_recv_of_nothing(n: int) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            with pytest.raises(ValueError, match="positive"):
                await client.recv(n)

    run(main)


def test_several_threads_receive_in_turn() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            readers = [socket2.newthread(client.recv, 1) for _ in range(3)]
            conn.write("abc")
            assert [await reader.join() for reader in readers] == [b"a", b"b", b"c"]

    run(main)


def test_a_recv_that_runs_out_of_time_takes_nothing() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            with pytest.raises(TimeoutError):
                with socket2.timeout(0.01):
                    await client.recv()
            conn.write("hello")
            assert await client.recv() == b"hello"

    run(main)


def test_recv_of_a_paused_socket() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            client.pause()
            conn.end("hello")
            assert await client.recv() == b"hello"
            log = record(client, ["data", "end"])
            await turns()
            assert log == []
            assert await client.recv() == b""
            await until(log, "end")

    run(main)


def test_recv_beside_a_listener() -> None:
    async def main() -> None:
        async with connected() as (client, conn):
            log = record(client, ["data"])
            taken = socket2.newthread(client.recv, 2)
            conn.write("hello")
            assert await taken.join() == b"he"
            await until(log, "data")
            assert log == [("data", b"llo")]
            conn.write("again")
            await turns(5)
            assert log == [("data", b"llo"), ("data", b"again")]

    run(main)


@pytest.mark.parametrize(("error", "raised"), [(None, socket2.Closed), (ValueError("oops"), ValueError)])
def test_destroying_wakes_who_receives(error: BaseException | None, raised: type[Exception]) -> None:
    async def main() -> None:
        async with connected() as (client, _):
            reader = socket2.newthread(failed, client.recv())
            await turns()
            client.destroy(error)
            assert isinstance(await reader.join(), raised)
            assert isinstance(await failed(client.recv()), socket2.Closed)

    run(main)


def test_recv_before_connecting() -> None:
    async def main() -> None:
        client = Socket()
        reader = socket2.newthread(client.recv)
        async with net.createServer(lambda conn: conn.end("hello")) as server:
            client.connect(await started(server), "127.0.0.1")
            assert await reader.join() == b"hello"
            client.resume()
            await ended(client)

    run(main)


# Piping.


def test_an_echo_by_pipe() -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.pipe(conn)) as server:
            client = net.connect(await started(server), "127.0.0.1")
            client.end(MUCH)
            assert await all_of(client) == MUCH
            await ended(client)

    run(main)


def test_a_pipe_goes_at_the_speed_of_its_destination() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            assert source.pipe(destination) is destination
            sink.pause()
            feeder.write(MUCH)
            feeder.write(MUCH)
            while not source.isPaused():  # a busy machine needs more time
                await turns()
            assert destination.bufferSize <= 200_000
            feeder.end()
            sink.resume()
            assert await all_of(sink) == MUCH + MUCH

    run(main)


def test_a_pipe_that_leaves_its_destination_open() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            source.pipe(destination, end=False)
            feeder.end("hello")
            assert await sink.recv() == b"hello"
            await turns(5)
            destination.end("more")
            assert await all_of(sink) == b"more"

    run(main)


def test_unpipe() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (sink, destination):
            source.pipe(destination)
            feeder.write("hello")
            assert await sink.recv() == b"hello"
            assert source.unpipe(destination) is source
            feeder.write("more")
            assert await source.recv() == b"more"
            source.unpipe()

    run(main)


def test_a_pipe_ends_with_its_destination() -> None:
    async def main() -> None:
        async with connected() as (source, feeder), connected() as (_, destination):
            source.pipe(destination)
            await turns()
            destination.destroy()
            await turns()
            assert source.listenerCount("data") == 0
            feeder.write("still here")
            assert await source.recv() == b"still here"

    run(main)


# What keeps the loop running.


def test_a_socket_that_reads_keeps_the_loop_going_unless_it_is_unreferenced() -> None:
    server = net.createServer().listen(0, "127.0.0.1")
    peer = socket.socket()
    client = Socket()
    server.on("connection", lambda conn: server.close() and conn.destroy())
    server.once("listening", lambda: client.connect(port_of(server), "127.0.0.1"))
    peer.close()
    client.allowHalfOpen = True
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        other = net.connect(listener.getsockname()[1], "127.0.0.1")
        client.resume()
        assert not socket2.start(0.05)
        assert other.unref() is other
        client.end()
        assert socket2.start(LIMIT_S)
        assert other.ref() is other
        assert not socket2.start(0.02)
        other.pause()
        assert socket2.start(LIMIT_S)
        other.resume()
        assert not socket2.start(0.02)
        other.destroy()
        assert socket2.start(LIMIT_S)
