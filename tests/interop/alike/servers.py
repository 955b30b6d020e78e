"""The scenarios of servers.js, with socket2.net."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from socket2 import net
from socket2.net import AbortController, Server, Socket

from .stage import Stage

WATCHED = ("listening", "connection", "drop", "error", "close")


def fresh(stage: Stage, *args: Any) -> Server:
    server: Server = stage.watch("server", net.createServer(*args), *WATCHED)
    return server


def free(stage: Stage, then: Callable[[int, Server], Any]) -> None:
    """Call then(port, server) with a port that another server listens on."""
    stage.serve({}, lambda _: None, then)


def state(stage: Stage, server: Server) -> None:
    stage.say("server", "state", server.listening, server.address())


def listening(stage: Stage) -> None:
    def begun() -> None:
        stage.say("server", "callback")
        server.close(stage.done("server", "closed"))
        state(stage, server)

    server = fresh(stage)
    state(stage, server)
    server.listen(0, "127.0.0.1", begun)
    stage.say("server", "listening?", server.listening)


def closed_before_listening(stage: Stage) -> None:
    server = fresh(stage)
    server.listen(0, "127.0.0.1", stage.noting("server", "callback"))
    server.close(stage.done("server", "closed"))
    state(stage, server)


def closed_without_listening(stage: Stage) -> None:
    server = fresh(stage)
    stage.attempt("server", "close", lambda: server.close(stage.done("server", "closed")))


def closed_twice(stage: Stage) -> None:
    def begun() -> None:
        server.close(stage.done("server", "first"))
        server.close(stage.done("server", "second"))

    server = fresh(stage)
    server.listen(0, "127.0.0.1", begun)


def closed_once_more_when_closed(stage: Stage) -> None:
    server = fresh(stage)
    server.listen(0, "127.0.0.1", lambda: server.close() and None)
    server.once("close", lambda: server.close(stage.done("server", "again")) and None)


def closed_with_connections(stage: Stage) -> None:
    clients: list[Socket] = []

    def take(conn: Socket) -> None:
        def now() -> None:
            stage.say("server", "now")
            clients[0].end()

        stage.watch("conn", conn, "end", "close").resume()
        server.close(stage.done("server", "closed"))
        state(stage, server)
        stage.after(20, now)

    def go(port: int, _: Server) -> None:
        clients.append(net.connect(port, "127.0.0.1").resume())

    server = stage.serve({}, take, go)
    stage.watch("server", server, "close")


def closed_with_a_connection_that_nobody_reads(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        server.close()
        conn.end()

    server = stage.serve({}, take, lambda port, _: net.connect(port, "127.0.0.1").resume())
    stage.watch("server", server, "close")


def listening_again(stage: Stage) -> None:
    def close() -> None:
        server.close()

    server = fresh(stage)
    server.listen(0, "127.0.0.1", close)
    server.once("close", lambda: server.listen(0, "127.0.0.1", close) and None)


def listening_twice(stage: Stage) -> None:
    def again() -> None:
        stage.attempt("server", "again", lambda: server.listen(0, "127.0.0.1"))

    def later() -> None:
        again()
        server.close()

    server = fresh(stage)
    server.listen(0, "127.0.0.1")
    again()
    stage.after(20, later)


def in_use(stage: Stage) -> None:
    def go(port: int, other: Server) -> None:
        def failed(_: OSError) -> None:
            state(stage, server)
            other.close()

        server = fresh(stage)
        server.listen(port, "127.0.0.1", stage.noting("server", "callback"))
        stage.say("server", "state", server.listening)
        server.on("error", failed)

    free(stage, go)


def in_use_and_again(stage: Stage) -> None:
    def go(port: int, other: Server) -> None:
        server = fresh(stage)
        server.listen(port, "127.0.0.1")

        def again(_: Any) -> None:
            server.listen(port, "127.0.0.1", lambda: server.close() and None)

        server.once("error", lambda _: other.close(again) and None)

    free(stage, go)


def in_use_and_closed(stage: Stage) -> None:
    def go(port: int, other: Server) -> None:
        def failed(_: OSError) -> None:
            server.close(stage.done("server", "closed"))
            other.close()

        server = fresh(stage)
        server.listen(port, "127.0.0.1")
        server.on("error", failed)

    free(stage, go)


def in_use_and_closed_at_once(stage: Stage) -> None:
    def go(port: int, other: Server) -> None:
        server = fresh(stage)
        server.listen(port, "127.0.0.1")
        server.close(stage.done("server", "closed"))
        other.close()

    free(stage, go)


def nobody_hears_an_error(stage: Stage) -> None:
    def go(port: int, other: Server) -> None:
        net.createServer().listen(port, "127.0.0.1")
        stage.after(20, other.close)

    free(stage, go)


def an_address_of_somebody_else(stage: Stage) -> None:
    fresh(stage).listen(0, "192.0.2.1")


def listen_wrongly(stage: Stage) -> None:
    server = fresh(stage)
    given: list[Any] = [-1, 65536, 1.5, "65536", {}, {"port": "x y"}]
    given += [{"host": "localhost"}, {"port": math.nan}, {"backlog": 5}]
    for n, arg in enumerate(given):
        stage.attempt("server", f"listen {n}", functools.partial(server.listen, arg))


def no_descriptor(stage: Stage) -> None:
    fresh(stage).listen({"fd": 999})


def aborted_before(stage: Stage) -> None:
    control = AbortController()
    control.abort()
    fresh(stage).listen({"port": 0, "host": "127.0.0.1", "signal": control.signal})


def aborted_later(stage: Stage) -> None:
    control = AbortController()
    fresh(stage).listen({"port": 0, "host": "127.0.0.1", "signal": control.signal}, control.abort)


def aborted_at_once(stage: Stage) -> None:
    control = AbortController()
    where = {"port": 0, "host": "127.0.0.1", "signal": control.signal}
    fresh(stage).listen(where, stage.noting("server", "callback"))
    control.abort()


def a_signal_that_is_none(stage: Stage) -> None:
    where = {"port": 0, "host": "127.0.0.1", "signal": 5}
    stage.attempt("server", "listen", lambda: net.createServer().listen(where))
    stage.attempt("client", "make", lambda: Socket({"signal": 5}))


def at_most_one(stage: Stage) -> None:
    clients: list[Socket] = []

    def dropped(data: dict[str, Any]) -> None:
        def end() -> None:
            clients[0].destroy()
            server.close()

        names = [data["localAddress"], data["localFamily"], data["remoteAddress"], data["remoteFamily"]]
        stage.say("server", "drop", *names, data["localPort"])
        server.getConnections(stage.noting("server", "count"))
        stage.after(20, end)

    def begun() -> None:
        address = server.address()
        assert isinstance(address, dict)
        port = address["port"]
        stage.known(port, "PORT")
        where = {"port": port, "host": "127.0.0.1"}

        def second() -> None:
            stage.dial("second", where, "connect", "end", "error", "close").resume()

        clients.append(net.connect(port, "127.0.0.1").resume())
        clients[0].on("connect", lambda: stage.after(10, second))

    server = stage.watch("server", net.createServer(lambda conn: conn.resume() and None), "listening", "error", "close")
    server.maxConnections = 1
    server.on("drop", dropped)
    server.listen(0, "127.0.0.1", begun)


def counted(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        def closed(_: bool) -> None:
            server.getConnections(stage.noting("server", "count"))
            server.close()

        server.getConnections(stage.noting("server", "count"))
        conn.resume()
        conn.on("close", closed)

    server = stage.serve({}, take, lambda port, _: net.connect(port, "127.0.0.1").resume().end())
    stage.watch("server", server, "close")
