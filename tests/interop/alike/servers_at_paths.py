"""More scenarios of servers.js, with socket2.net: paths, errors of listeners, and what keeps the loop running."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from socket2 import net
from socket2.net import Server, Socket

from .servers import fresh
from .stage import Stage


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
