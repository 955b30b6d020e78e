"""Servers that several processes share, and clusters."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import net
from socket2.net import Cluster

from .scene import ended, failed, ignore, pair, record, run, started, turns, until
from .test_processes import channels, counted, greeting, told, worker

# Servers that are shared.


def test_a_server_is_shared() -> None:
    async def main() -> None:
        with worker() as (channel, pid):
            async with net.createServer() as server:
                port = await started(server)
                channel.send({"do": "serve"}, server)
                assert await told(channel) == {"has": "server"}
                first, said = await greeting(port)  # there is no 'connection' listener here: the worker takes it
                assert said == f"worker {pid}".encode()
                assert (server.connections, await counted(server)) == (0, 1)
                taker = socket2.newthread(server.accept)
                clients = [first]
                while not taker.done:
                    clients.append(net.connect(port, "127.0.0.1"))
                    await turns(5)
                ours = await taker.join()
                while await counted(server) != len(clients):
                    await turns()
                for client in (ours, *clients):
                    client.destroy()
                while await counted(server):
                    await turns()
                channel.send({"do": "close"})
                assert await told(channel) == {"closed": True}

    run(main)


def test_a_full_process_leaves_connections_to_the_others() -> None:
    async def main() -> None:
        with worker() as (channel, pid):
            async with net.createServer(lambda conn: conn.write("primary")) as server:
                port = await started(server)
                server.maxConnections = 0
                channel.send({"do": "serve", "limit": 3}, server)
                assert await told(channel) == {"has": "server"}
                log = record(server, ["drop"])
                made = [await greeting(port) for _ in range(3)]
                assert [said for _, said in made] == [f"worker {pid}".encode()] * 3
                server.maxConnections = 1
                made.append(await greeting(port))
                assert made[-1][1] == b"primary"
                assert log == []
                server.dropMaxConnection = True
                dropped = net.connect(port, "127.0.0.1")
                dropped.on("error", ignore)
                await until(log, "drop")
                for client in (dropped, *(client for client, _ in made)):
                    client.destroy()
                server.closeAllConnections()

    run(main)


def test_a_server_that_does_not_listen_cannot_be_shared() -> None:
    async def main() -> None:
        with channels() as (one, _):
            with pytest.raises(OSError, match="not running"):
                one.send("x", net.createServer())

    run(main)


def test_what_came_with_a_message_whose_listener_fails(crashes: list[BaseException]) -> None:
    async def main() -> None:
        def fail(message: Any, handle: Any) -> None:
            raise ValueError("oops")

        with channels() as (one, other):
            other.on("message", fail)
            client, conn = await pair()
            one.send("x", conn)
            client.on("error", ignore)
            client.resume()
            await ended(client)

    run(main)
    assert [str(error) for error in crashes] == ["oops"]
    crashes.clear()


# Clusters.


def test_workers_listen_on_one_port() -> None:
    async def main() -> None:
        cluster = Cluster()
        with worker() as (one, one_pid), worker() as (other, other_pid):
            for channel in (one, other):
                cluster.add(channel)
                channel.send({"do": "join"})
                channel.send({"do": "listen", "options": {"port": 0, "host": "127.0.0.1"}})
            addresses = [(await told(channel))["address"] for channel in (one, other)]
            assert addresses[0] == addresses[1]
            channels = {f"worker {one_pid}".encode(): one, f"worker {other_pid}".encode(): other}
            clients = []
            while channels:  # the worker that has answered leaves, so it is the other one's turn
                client, said = await greeting(addresses[0]["port"])
                clients.append(client)
                channel = channels.pop(said)
                channel.send({"do": "drop"})
                channel.send({"do": "close"})
                assert await told(channel) == {"closed": True}
            for client in clients:
                client.destroy()

    run(main)


def test_the_socket_of_a_cluster_is_closed_by_the_last() -> None:
    async def main() -> None:
        cluster = Cluster()
        with worker() as (one, _), worker() as (other, _):
            for channel in (one, other):
                cluster.add(channel)
                channel.send({"do": "join"})
            one.send({"do": "listen", "options": {"port": 0, "host": "127.0.0.1"}})
            port = (await told(one))["address"]["port"]
            other.send({"do": "listen", "options": {"port": port, "host": "127.0.0.1", "exclusive": True}})
            assert await told(other) == {"code": "EADDRINUSE"}
            one.send({"do": "close"})
            assert await told(one) == {"closed": True}
            while cluster._listeners:
                await turns()
            assert isinstance(await failed(net.connect(port, "127.0.0.1").wait("connect")), ConnectionRefusedError)

    run(main)


def test_an_exclusive_port_of_ones_own() -> None:
    async def main() -> None:
        cluster = Cluster()
        with worker() as (one, _), worker() as (other, _):
            ports = []
            for channel in (one, other):
                cluster.add(channel)
                channel.send({"do": "join"})
                channel.send({"do": "listen", "options": {"port": 0, "host": "127.0.0.1", "exclusive": True}})
                ports.append((await told(channel))["address"]["port"])
            assert ports[0] != ports[1]
            assert not cluster._listeners

    run(main)


def test_an_error_of_the_primary_is_the_workers() -> None:
    async def main() -> None:
        cluster = Cluster()
        async with net.createServer() as server:
            port = await started(server)
            with worker() as (channel, _):
                cluster.add(channel)
                channel.send({"do": "join"})
                channel.send({"do": "listen", "options": {"port": port, "host": "127.0.0.1"}})
                assert await told(channel) == {"code": "EADDRINUSE"}

    run(main)


def test_two_servers_of_one_worker_on_free_ports() -> None:
    async def main() -> None:
        cluster = Cluster()
        with worker() as (channel, _):
            cluster.add(channel)
            channel.send({"do": "join"})
            ports = []
            for _ in range(2):
                channel.send({"do": "listen", "options": {"port": 0, "host": "127.0.0.1"}})
                ports.append((await told(channel))["address"]["port"])
            assert ports[0] != ports[1]

    run(main)
