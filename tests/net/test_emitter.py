"""Emitters and listeners: plain functions, generators, coroutines; what they raise; Node's spellings; re-entrancy."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Emitter, Server, Socket

from .scene import all_of, ended, failed, ignore, noting, pair, record, run, started, turns, until

# Both styles.


def echo_plain(conn: Socket) -> None:
    conn.on("data", conn.write)


def echo_generator(conn: Socket) -> Generator[Any, Any, None]:
    while data := (yield from conn.recv()):
        yield from conn.send(data)


async def echo_async(conn: Socket) -> None:
    async for data in conn:
        await conn.send(data)


def echo_mixed(conn: Socket) -> None:
    async def answer(data: bytes) -> None:
        await conn.send(data)

    conn.on("data", answer)


def echo_piped(conn: Socket) -> None:
    conn.pipe(conn)


@pytest.mark.parametrize("listener", [echo_plain, echo_generator, echo_async, echo_mixed, echo_piped])
def test_listeners_of_any_kind(listener: Any) -> None:
    async def main() -> None:
        async with net.createServer({"allowHalfOpen": listener in (echo_generator, echo_async)}, listener) as server:
            port = await started(server)
            for _ in range(3):
                client = net.connect(port, "127.0.0.1")
                for n in range(5):
                    await client.send(f"hello {n}")
                    assert await client.recv() == f"hello {n}".encode()
                client.destroy()
            server.closeAllConnections()

    run(main)


@pytest.mark.parametrize("style", ["async for", "accept"])
def test_iterating_over_connections(style: str) -> None:
    async def main() -> None:
        served: list[bytes] = []

        async def serve(server: Server) -> str:
            if style == "async for":
                async for conn in server:
                    socket2.newthread(serve_one, conn)
                return "over"
            try:
                while True:
                    socket2.newthread(serve_one, await server.accept())
            except socket2.Closed:
                return "over"

        async def serve_one(conn: Socket) -> None:
            served.append(await all_of(conn))

        server = net.createServer()
        port = await started(server)
        serving = socket2.newthread(serve, server)
        for n in range(3):
            client = net.connect(port, "127.0.0.1")
            client.end(str(n))
            await ended(client)
        server.close()
        assert await serving.join() == "over"
        await turns()
        assert sorted(served) == [b"0", b"1", b"2"]

    run(main)


def test_a_connection_that_is_accepted_is_not_told() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            log = record(server, ["connection"])
            port = await started(server)
            taker = socket2.newthread(server.accept)
            clients = [net.connect(port, "127.0.0.1") for _ in range(2)]
            first = await taker.join()
            await until(log, "connection")
            [(_, second)] = log
            assert first is not second
            for socket in (first, second, *clients):
                socket.destroy()

    run(main)


def test_an_accept_that_runs_out_of_time_loses_no_connection() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server)
            with pytest.raises(TimeoutError):
                with socket2.timeout(0.01):
                    await server.accept()
            client = net.connect(port, "127.0.0.1")
            conn = await server.accept()
            conn.destroy()
            client.destroy()

    run(main)


def test_a_connection_is_not_given_to_a_thread_that_was_cancelled_a_moment_ago() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            client = net.connect(await started(server), "127.0.0.1")
            conn = await server.accept()
            taker = socket2.newthread(server.accept)
            taker.cancel()
            server._hand_out(conn)
            assert await server.accept() is conn
            conn.destroy()
            client.destroy()

    run(main)


def test_accept_of_a_server_that_does_not_listen() -> None:
    async def main() -> None:
        server = net.createServer()
        assert isinstance(await failed(server.accept()), socket2.Closed)
        assert [conn async for conn in server] == []

    run(main)


def test_accept_of_a_server_that_cannot_listen() -> None:
    async def main() -> None:
        async with net.createServer() as first:
            port = await started(first)
            server = net.createServer().listen(port, "127.0.0.1")
            assert (await failed(server.accept())).code == "EADDRINUSE"

    run(main)


def test_threads_accept_in_the_order_they_came() -> None:
    async def main() -> None:
        async with net.createServer() as server:
            port = await started(server)
            takers = [socket2.newthread(server.accept) for _ in range(3)]
            clients = []
            for _ in takers:
                clients.append(net.connect(port, "127.0.0.1"))
                await clients[-1].wait("connect")
            taken = [await taker.join() for taker in takers]
            assert [conn.remotePort for conn in taken] == [client.localPort for client in clients]
            for socket in (*taken, *clients):
                socket.destroy()

    run(main)


# What listeners raise.


def raise_plain(*_: Any) -> None:
    raise ValueError("oops")


def raise_generator(*_: Any) -> Generator[Any, Any, None]:
    yield from socket2.sleep(0)
    raise ValueError("oops")


async def raise_async(*_: Any) -> None:
    await socket2.sleep(0)
    raise ValueError("oops")


@pytest.mark.parametrize("listener", [raise_plain, raise_generator, raise_async])
@pytest.mark.parametrize("event", ["data", "end", "connect", "drain", "timeout", "close"])
def test_what_a_listener_raises_is_reported_and_ends_its_socket(
    crashes: list[BaseException], listener: Any, event: str
) -> None:
    async def main() -> None:
        async with net.createServer(lambda conn: conn.on("error", ignore) and conn.end("hello")) as server:
            server.on("connection", lambda conn: conn.resume())
            client = net.connect(await started(server), "127.0.0.1")
            log = record(client, ["close"])
            if event != "data":
                client.resume()
            client.write(bytes(100_000))
            if event == "timeout":
                client.setTimeout(1)
                client.pause()
            client.once(event, listener)
            await until(log, "close")
            if event != "close":
                [(_, had_error)] = log
                assert had_error or event in ("end", "drain")

    run(main)
    assert {str(error) for error in crashes} == {"oops"}
    crashes.clear()


def test_what_a_callback_raises_is_reported(crashes: list[BaseException]) -> None:
    async def main() -> None:
        client, conn = await pair()
        client.write("hello", raise_plain)
        conn.on("error", ignore)
        conn.resume()
        await ended(client, conn)

    run(main)
    assert [str(error) for error in crashes] == ["oops"]
    crashes.clear()


# Re-entrancy.


def test_listening_elsewhere_in_the_listener_of_close() -> None:
    async def main() -> None:
        server = net.createServer()
        log = record(server, ["listening", "close"])
        server.once("close", lambda: server.listen(0, "127.0.0.1"))
        await started(server)
        server.close()
        while log.count("listening") < 2:
            await turns()
        server.close()
        while log.count("close") < 2:
            await turns()
        assert log == ["listening", "close"] * 2

    run(main)


def test_removing_a_listener_in_itself() -> None:
    async def main() -> None:
        client, conn = await pair()
        log: list[Any] = []

        def once(data: bytes) -> None:
            log.append(data)
            client.removeListener("data", once)

        client.on("data", once)
        conn.write("one")
        while not log:
            await turns()
        conn.write("two")
        assert await client.recv() == b"two"
        assert log == [b"one"]
        client.destroy()
        conn.destroy()

    run(main)


# The emitter.


def test_nodes_spellings() -> None:
    emitter = Emitter()
    log: list[Any] = []
    first, second, third, fourth = (noting(log, name) for name in ("first", "second", "third", "fourth"))
    assert emitter.addListener("event", second) is second
    emitter.on("event", third)
    assert emitter.prependListener("event", first) is first
    emitter.prependOnceListener("event", fourth)
    assert emitter.emit("event", 1) is True
    assert log == [("fourth", 1), ("first", 1), ("second", 1), ("third", 1)]
    assert emitter.listenerCount("event") == 3
    assert emitter.listeners("event") == [first, second, third]
    assert emitter.eventNames() == ["event"]
    emitter.removeListener("event", second)
    emitter.removeListener("event", second)
    emitter.off("event", first)
    emitter.off("nothing", first)
    assert emitter.listeners("event") == [third]
    emitter.removeAllListeners("event")
    assert emitter.emit("event") is False
    emitter.on("a", ignore)
    emitter.on("b", ignore)
    emitter.removeAllListeners()
    assert emitter.eventNames() == []


def test_a_decorator() -> None:
    emitter = Emitter()
    log: list[Any] = []

    @emitter.on("event")
    def listener(value: int) -> None:
        log.append(value)

    emitter.emit("event", 5)
    assert log == [5]


def test_an_error_without_a_listener_is_raised() -> None:
    with pytest.raises(ValueError, match="oops"):
        Emitter().emit("error", ValueError("oops"))


@pytest.mark.parametrize("listener", [5, None, "listener"], ids=repr)
def test_what_is_no_listener(listener: Any) -> None:
    with pytest.raises(TypeError):
        Emitter().addListener("event", listener)


def test_waiting_for_an_event() -> None:
    async def main() -> None:
        for args, result in (((), None), ((1,), 1), ((1, 2), (1, 2))):
            emitter = Emitter()
            waiting = socket2.newthread(emitter.wait, "event")
            emitter.emit("event", *args)
            assert await waiting.join() == result
            assert emitter.eventNames() == []

    run(main)


def test_waiting_for_an_event_when_there_is_an_error() -> None:
    async def main() -> None:
        emitter = Emitter()
        waiting = socket2.newthread(failed, emitter.wait("event"))
        emitter.emit("error", oops := ValueError("oops"))
        assert await waiting.join() is oops
        waiting = socket2.newthread(emitter.wait, "error")
        emitter.emit("error", oops)
        assert await waiting.join() is oops

    run(main)


def test_waiting_for_an_event_that_takes_too_long() -> None:
    async def main() -> None:
        emitter = Emitter()
        with pytest.raises(TimeoutError):
            with socket2.timeout(0.01):
                await emitter.wait("event")
        assert emitter.eventNames() == []

    run(main)
