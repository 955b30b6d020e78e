"""The scenarios of servers.js, with socket2.net."""

from __future__ import annotations

import functools
import math
import stat
from collections.abc import Callable
from pathlib import Path
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


def a_path(stage: Stage) -> None:
    name = str(Path(stage.directory) / "socket")
    stage.known(name, "PATH")

    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "data", "end", "close")
        stage.say("conn", "names", conn.remoteAddress, conn.remotePort, conn.address())
        server.close()

    def begun() -> None:
        def connected() -> None:
            stage.say("client", "names", client.remoteAddress, client.localPort, client.address())
            client.end("hello")

        stage.say("server", "address", server.address())
        client = net.connect(name, connected)
        client.resume()

    server = fresh(stage, take)
    server.listen(name, begun)
    server.on("close", lambda: stage.say("server", "there", Path(name).exists()))


def a_path_in_use(stage: Stage) -> None:
    name = str(Path(stage.directory) / "socket")
    stage.known(name, "PATH")

    def begun() -> None:
        fresh(stage).listen(name).on("error", lambda _: other.close() and None)

    other = net.createServer().listen(name, begun)


def a_path_that_nobody_listens_at(stage: Stage) -> None:
    name = Path(stage.directory) / "file"
    name.touch()
    stage.known(str(name), "PATH")
    fresh(stage).listen(str(name))


def a_path_nowhere(stage: Stage) -> None:
    fresh(stage).listen("/nowhere/at/all")


def a_path_with_rights(stage: Stage) -> None:
    name = Path(stage.directory) / "socket"

    def begun() -> None:
        stage.say("server", "mode", stat.S_IMODE(name.stat().st_mode) & 0o666)
        server.close()

    server = fresh(stage).listen({"path": str(name), "readableAll": True, "writableAll": True}, begun)


def unrefd(stage: Stage) -> None:
    fresh(stage).unref().listen(0, "127.0.0.1")


def unrefd_later(stage: Stage) -> None:
    server = fresh(stage)
    server.listen(0, "127.0.0.1", lambda: server.unref() and None)


def options_of_the_connections(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        marks = [conn.readableHighWaterMark, conn.writableHighWaterMark]
        stage.say("conn", "options", conn.allowHalfOpen, conn.isPaused(), *marks)
        conn.destroy()
        server.close()

    options = {"allowHalfOpen": True, "pauseOnConnect": True, "highWaterMark": 7, "noDelay": True, "keepAlive": True}
    server = stage.serve(
        options, take, lambda port, _: net.connect(port, "127.0.0.1").resume().on("error", lambda _: None)
    )


def _raise(*_: Any) -> None:
    raise Exception("oops")


async def _reject(*_: Any) -> None:
    raise Exception("oops")


def _hello(stage: Stage, port: int, server: Server) -> None:
    net.connect(port, "127.0.0.1").resume().end("hello")
    stage.after(30, server.close)


def raised_in_connection(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.resume()
        server.close()
        raise Exception("oops")

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", net.connect(port, "127.0.0.1"), "connect", "end", "error", "close").resume()
        stage.after(30, client.end)

    server = stage.serve({}, take, go)
    server.on("connection", lambda _: stage.say("server", "second listener"))


def raised_in_data(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "error", "end", "close")
        conn.on("data", _raise)
        conn.on("data", stage.noting("conn", "second listener"))

    stage.serve({}, take, lambda port, server: _hello(stage, port, server))


def raised_in_close(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.on("close", _raise)
        conn.on("close", stage.noting("conn", "second listener"))
        conn.resume()

    stage.serve({}, take, lambda port, server: _hello(stage, port, server))


def rejected_in_data(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "error", "end", "close")
        conn.on("data", _reject)

    stage.serve({}, take, lambda port, server: _hello(stage, port, server))


def emitters(stage: Stage) -> None:
    def told(what: str) -> Callable[[], None]:
        return lambda: stage.say("server", what)

    server = net.createServer()
    once = told("once")
    server.on("x", told("on"))
    server.once("x", once)
    server.prependListener("x", told("first"))
    server.prependOnceListener("x", told("very first"))
    stage.say("server", "names", [name for name in server.eventNames() if name == "x"], server.listenerCount("x"))
    stage.say("server", "emit", server.emit("x"))
    stage.say("server", "emit", server.emit("x"))
    server.off("x", once)
    server.removeAllListeners("x")
    stage.say("server", "emit", server.emit("x"), server.listenerCount("x"))
    stage.attempt("server", "error", lambda: server.emit("error", Exception("mine")))


def a_listener_that_is_removed_while_it_is_told(stage: Stage) -> None:
    def second() -> None:
        stage.say("server", "second")

    def first() -> None:
        stage.say("server", "first")
        server.removeListener("x", second)
        server.on("x", lambda: stage.say("server", "third"))

    server = net.createServer()
    server.on("x", first)
    server.on("x", second)
    server.emit("x")
    server.emit("x")
