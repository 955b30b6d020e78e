"""The scenarios of lives.js, with socket2.net."""

from __future__ import annotations

from socket2 import net
from socket2.net import AbortController, Server, Socket

from .stage import MUCH, Stage

ALL = ("connect", "ready", "data", "end", "finish", "drain", "timeout", "error", "close")


def destroyed_soon_before_it_is_connected(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "data", "end", "close")
        server.close()

    def go(port: int, _: Server) -> None:
        client = stage.dial("client", {"port": port, "host": "127.0.0.1"}, *ALL)
        client.write("hello", stage.done("client", "written"))
        client.destroySoon()
        stage.say("client", "state", client.destroyed, client.writableEnded)

    server = stage.serve({}, take, go)


def encoded_late(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.end("h\u00e9llo")
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        def late() -> None:
            client.setEncoding("utf8")
            client.on("data", stage.noting("client", "data"))

        client = stage.watch("client", Socket(), "end", "close")
        client.connect(port, "127.0.0.1")
        stage.after(20, late)

    server = stage.serve({}, take, go)


def destroyed_in_connection(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "end", "close")
        conn.destroy()
        server.close()

    def go(port: int, _: Server) -> None:
        stage.watch("client", net.connect(port, "127.0.0.1"), "end", "error", "close").resume()

    server = stage.serve({}, take, go)
    stage.watch("server", server, "close")


def half_open_and_much_to_send(stage: Stage) -> None:
    sizes: list[int] = []

    def take(conn: Socket) -> None:
        server.close()
        stage.watch("conn", conn, "end", "finish", "drain", "close").resume()
        conn.on("end", lambda: stage.say("conn", "write", conn.write(MUCH)))
        conn.on("drain", lambda: conn.end("y", stage.done("conn", "ended")) and None)

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(), "end", "close")
        client.on("data", lambda data: sizes.append(len(data)))
        client.on("end", lambda: stage.say("client", "size", sum(sizes)))
        client.connect(port, "127.0.0.1", lambda: client.end() and None)

    server = stage.serve({"allowHalfOpen": True}, take, go)


def not_half_open_and_much_to_send(stage: Stage) -> None:
    sizes: list[int] = []

    def take(conn: Socket) -> None:
        def ended() -> None:
            stage.say("conn", "write", conn.write(MUCH, stage.done("conn", "written")))

        server.close()
        stage.watch("conn", conn, "end", "finish", "drain", "close").resume()
        conn.on("end", ended)

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(allowHalfOpen=True), "end", "close")
        client.on("data", lambda data: sizes.append(len(data)))
        client.on("end", lambda: stage.say("client", "size", sum(sizes)))
        client.connect(port, "127.0.0.1", lambda: client.end() and None)

    server = stage.serve({}, take, go)


def timeout_by_option(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        where = {"port": port, "host": "127.0.0.1", "timeout": 1000}
        client = stage.watch("client", net.connect(where), "connect", "timeout", "end", "close")
        stage.say("client", "timeout is", client.timeout)
        client.resume()
        client.on("timeout", lambda: client.end() and None)

    server = stage.serve({}, take, go)


def closed_all(stage: Stage) -> None:
    conns: list[Socket] = []

    def take(conn: Socket) -> None:
        conns.append(stage.watch("conn", conn, "end", "error", "close"))
        conn.resume()
        if len(conns) < 2:
            return
        server.close(stage.done("server", "closed"))
        for one in conns:
            one.destroy()
        server.getConnections(stage.noting("server", "count"))

    def go(port: int, _: Server) -> None:
        for _n in range(2):
            stage.watch("client", net.connect(port, "127.0.0.1"), "end", "error", "close").resume()

    server = stage.serve({}, take, go)
    stage.watch("server", server, "close")


def aborted_for_a_reason(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        control = AbortController()
        client = net.connect({"port": port, "host": "127.0.0.1", "signal": control.signal})
        client.on("error", lambda e: stage.say("client", "error", e.code, type(e).__name__, str(e.cause)))
        client.on("close", lambda had: stage.say("client", "close", had))
        control.abort(Exception("enough"))
        server.close()

    stage.serve({}, lambda _: None, go)


def connected_to_itself_twice(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.pipe(conn)
        conn.on("close", lambda _: server.close() and None)

    def go(port: int, _: Server) -> None:
        def first(_: str) -> None:
            client.write("b")
            client.once("data", lambda _: client.end("c") and None)

        client = stage.watch("client", net.connect(port, "127.0.0.1"), *ALL)
        client.setEncoding("utf8")
        client.write("a")
        client.once("data", first)

    server = stage.serve({}, take, go)


def corked_in_a_listener(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "data", "end", "close")
        server.close()

    def go(port: int, _: Server) -> None:
        def connected() -> None:
            client.cork()
            client.write("a")
            client.write("b")

        def ready() -> None:
            client.uncork()
            client.end("c")

        client = stage.watch("client", net.connect(port, "127.0.0.1"), "finish", "end", "close")
        client.resume()
        client.on("connect", connected)
        client.on("ready", ready)

    server = stage.serve({}, take, go)
