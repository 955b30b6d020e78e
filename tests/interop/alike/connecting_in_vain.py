"""More scenarios of connecting.js, with socket2.net: sockets that are destroyed or used before they are connected."""

from __future__ import annotations

import functools
from typing import Any

from socket2 import net
from socket2.net import Server, Socket

from .connecting import ALL, end_at_once, states
from .stage import Stage


def destroyed_on_the_way(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        client = net.connect(port, "127.0.0.1", stage.noting("client", "callback"))
        stage.watch("client", client, *ALL)
        client.write("x", stage.done("client", "written"))
        client.end(stage.done("client", "ended"))
        client.destroy()
        stage.say("client", "states", states(client))
        server.close()

    stage.serve({}, lambda _: None, go)


def destroyed_on_the_way_by_an_error(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        client = stage.dial("client", {"port": port, "host": "127.0.0.1"}, *ALL)
        client.write("x", stage.done("client", "written"))
        client.destroy(Exception("mine"))
        client.destroy(Exception("another"))
        server.close()

    stage.serve({}, lambda _: None, go)


def destroyed_in_an_attempt(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        def attempted(*_: Any) -> None:
            client.destroy()
            server.close()

        client = stage.dial("client", {"port": port, "host": "127.0.0.1"}, *ALL)
        client.on("connectionAttempt", attempted)

    stage.serve({}, lambda _: None, go)


def destroyed_in_connect(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.on("error", lambda _: None)
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        client = stage.dial("client", {"port": port, "host": "127.0.0.1"}, *ALL)
        client.on("connect", lambda: client.destroy() and None)

    server = stage.serve({}, take, go)


def written_before(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "data", "end", "close")
        server.close()

    def go(port: int, _: Server) -> None:
        client = Socket()
        stage.watch("client", client, *ALL, "drain")
        client.connect(port, "127.0.0.1")
        stage.say("client", "write", client.write("a", stage.done("client", "written a")))
        stage.say("client", "write", client.write("b", stage.done("client", "written b")))
        stage.say("client", "bytes", client.bytesWritten, client.writableLength, client.bufferSize)
        client.end("c", stage.done("client", "ended"))
        client.on("close", lambda _: stage.say("client", "bytes", client.bytesWritten, client.writableLength))

    server = stage.serve({}, take, go)


def written_without_connect(stage: Stage) -> None:
    client = Socket()
    stage.watch("client", client, *ALL)
    client.write("a", stage.done("client", "written"))
    stage.after(20, client.destroy)


def ended_without_connect(stage: Stage) -> None:
    client = Socket()
    stage.watch("client", client, *ALL)
    client.end(stage.done("client", "ended"))
    stage.say("client", "states", states(client))
    stage.after(20, client.destroy)


def destroyed_without_connect(stage: Stage) -> None:
    client = Socket()
    stage.watch("client", client, *ALL)
    client.destroy()
    stage.say("client", "states", states(client))


def connected_again(stage: Stage) -> None:
    visits = []

    def take(conn: Socket) -> None:
        conn.end("hello")
        conn.resume()
        visits.append(conn)
        if len(visits) == 2:
            server.close()

    def go(port: int, _: Server) -> None:
        def again(_: bool) -> None:
            stage.say("client", "bytes", client.bytesRead, client.bytesWritten)
            client.connect(port, "127.0.0.1")
            stage.say("client", "states", states(client))
            client.write("x")
            client.on("close", lambda _: stage.say("client", "bytes", client.bytesRead, client.bytesWritten))

        client = Socket()
        stage.watch("client", client, *ALL, "data")
        client.connect(port, "127.0.0.1")
        client.once("close", again)

    server = stage.serve({}, take, go)


def connect_wrongly(stage: Stage) -> None:
    client = Socket()
    here: dict[str, Any] = {"port": 1}
    given: list[list[Any]] = [[-1], [65536], [1.5], ["99999"], [{}], [], [{"port": "x y"}]]
    given += [[here | {"localAddress": "here"}], [here | {"localPort": "x"}], [here | {"lookup": 1}]]
    given += [[here | {"autoSelectFamilyAttemptTimeout": 0}], [{"port": True}]]
    for n, args in enumerate(given):
        stage.attempt("client", f"connect {n}", functools.partial(client.connect, *args))


def a_local_address_of_somebody_else(stage: Stage) -> None:
    where = {"port": 9, "host": "127.0.0.1", "localAddress": "192.0.2.1", "localPort": 0}
    stage.dial("client", where, "error", "close")


def options_before_and_after(stage: Stage) -> None:
    def go(port: int, _: Server) -> None:
        def closed(_: bool) -> None:
            stage.attempt("client", "nodelay", lambda: client.setNoDelay())
            stage.attempt("client", "keepalive", lambda: client.setKeepAlive(True, 1000))
            stage.attempt("client", "address", lambda: client.address())
            names = [
                client.remoteAddress,
                client.remotePort,
                client.remoteFamily,
                client.localAddress,
                client.localPort,
            ]
            stage.say("client", "names", *names)
            stage.attempt("client", "pause", lambda: client.pause())
            stage.attempt("client", "resume", lambda: client.resume())
            stage.attempt("client", "timeout", lambda: client.setTimeout(10))
            stage.attempt("client", "ref", lambda: client.ref())
            stage.attempt("client", "unref", lambda: client.unref())

        client = Socket()
        stage.attempt("client", "nodelay", lambda: client.setNoDelay())
        stage.attempt("client", "keepalive", lambda: client.setKeepAlive(True, 1000))
        stage.attempt("client", "address", lambda: client.address())
        client.connect(port, "127.0.0.1")
        client.resume()
        client.on("close", closed)

    stage.serve({}, end_at_once(stage), go)


def names_when_connected(stage: Stage) -> None:
    def go(port: int, _: Server) -> None:
        def connected() -> None:
            stage.known(client.localPort or 0, "LOCAL")
            names = [client.remoteAddress, client.remotePort, client.remoteFamily]
            stage.say("client", "names", *names, client.localAddress, client.localPort, client.localFamily)
            stage.say("client", "address", client.address())

        client = net.connect(port, "127.0.0.1", connected)
        client.resume()

    stage.serve({}, end_at_once(stage), go)
