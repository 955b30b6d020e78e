"""The scenarios of ends.js, with socket2.net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from socket2.net import Server, Socket

from .stage import MUCH, Stage

WATCHED = ("end", "finish", "drain", "timeout", "error", "close")


def ignore(*_: Any) -> None:
    pass


def pair(stage: Stage, act: Callable[[Socket, Socket], Any], **options: Any) -> None:
    """Connect a client to a server, watch both, and call act(client, conn) when both are connected."""
    there: dict[str, Socket] = {}

    def both(name: str, socket: Socket) -> None:
        there[name] = socket
        if len(there) == 2:
            act(there["client"], there["conn"])

    def take(conn: Socket) -> None:
        stage.watch("conn", conn, *WATCHED)
        server.close()
        both("conn", conn)

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(options), *WATCHED)
        client.connect(port, "127.0.0.1", lambda: both("client", client))

    server = stage.serve(options, take, go)


def the_peer_ends(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.resume()
        conn.resume()
        conn.end()

    pair(stage, act)


def both_end(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.on("data", stage.noting("client hears", "data"))
        conn.on("data", stage.noting("conn hears", "data"))
        client.end("from the client")
        conn.end("from the server")

    pair(stage, act)


def half_open(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def late() -> None:
            stage.say("conn", "writable", conn.writable, conn.readyState)
            conn.end("late")

        client.on("data", stage.noting("client", "data"))
        conn.on("data", stage.noting("conn", "data"))
        conn.on("end", lambda: stage.soon(late))
        client.end("first")
        client.on("finish", lambda: stage.say("client", "state", client.readyState))

    pair(stage, act, allowHalfOpen=True)


def half_open_never_ended(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def destroy() -> None:
            stage.say("conn", "state", conn.readyState, conn.destroyed)
            conn.destroy()

        conn.resume()
        client.resume()
        client.end()
        conn.on("end", lambda: stage.after(20, destroy))

    pair(stage, act, allowHalfOpen=True)


def destroyed(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.resume()
        conn.resume()
        client.destroy()
        stage.say("client", "state", client.destroyed, client.writable, client.readable, client.readyState)

    pair(stage, act)


def destroyed_by_an_error(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.destroy(Exception("mine"))

    pair(stage, act)


def destroyed_in_data(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def heard(data: bytes) -> None:
            stage.say("client", "data", data)
            client.destroy()

        conn.resume()
        conn.on("error", ignore)
        client.on("data", heard)
        conn.end("hello")

    pair(stage, act)


def destroyed_in_end(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.on("end", lambda: client.destroy() and None)
        conn.end("hello")

    pair(stage, act)


def destroyed_in_finish(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.on("finish", lambda: client.destroy() and None)
        client.end("hello")

    pair(stage, act)


def destroyed_in_close(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def closed(_: bool) -> None:
            client.destroy(Exception("late"))
            client.end()

        conn.resume()
        client.resume()
        client.on("close", closed)
        client.end("hello")

    pair(stage, act)


def destroyed_in_error(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.on("error", lambda _: client.destroy(Exception("another")) and None)
        client.destroy(Exception("first"))

    pair(stage, act)


def destroyed_soon(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.on("data", stage.noting("conn", "data"))
        client.resume()
        client.write("hello")
        client.destroySoon()
        stage.say("client", "state", client.destroyed, client.writableEnded)

    pair(stage, act)


def destroyed_soon_with_nothing_to_send(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.destroySoon()
        stage.say("client", "state", client.destroyed, client.writableEnded)

    pair(stage, act)


def ended_twice(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.on("data", stage.noting("conn", "data"))
        client.resume()
        client.end("a", stage.done("client", "first"))
        client.end(stage.done("client", "second"))

    pair(stage, act)


def ended_after_finish(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.end()
        client.on("finish", lambda: client.end(stage.done("client", "callback")) and None)

    pair(stage, act)


def ended_after_destroy(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.destroy()
        client.end(stage.done("client", "callback"))

    pair(stage, act)


def ended_after_close(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.end()
        client.on("close", lambda _: client.end(stage.done("client", "callback")) and None)

    pair(stage, act)


def ended_with_much_to_send(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        sizes: list[int] = []
        conn.on("data", lambda data: sizes.append(len(data)))
        conn.on("end", lambda: stage.say("conn", "size", sum(sizes)))
        stage.say("client", "write", client.write(MUCH, stage.done("client", "written")))
        client.end(stage.done("client", "ended"))
        stage.say("client", "state", client.writableEnded, client.writableFinished, client.readyState)
        client.resume()

    pair(stage, act)


def _much_to_send(stage: Stage, *error: Exception) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.on("error", ignore)
        client.write(MUCH, stage.done("client", "written a"))
        client.write("y", stage.done("client", "written b"))
        client.end(stage.done("client", "ended"))
        client.destroy(*error)
        conn.resume()

    pair(stage, act)


def destroyed_with_much_to_send(stage: Stage) -> None:
    _much_to_send(stage)


def destroyed_by_an_error_with_much_to_send(stage: Stage) -> None:
    _much_to_send(stage, Exception("mine"))


def written_after_end(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.on("data", stage.noting("conn", "data"))
        conn.on("end", lambda: stage.say("conn", "ended"))
        client.resume()
        client.end("x")
        stage.say("client", "write", client.write("y", stage.done("client", "written")))

    pair(stage, act)


def written_after_destroy(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.destroy()
        stage.say("client", "write", client.write("y", stage.done("client", "written")))

    pair(stage, act)


def written_after_close(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def closed(_: bool) -> None:
            stage.say("client", "write", client.write("y", stage.done("client", "written")))

        conn.resume()
        client.resume()
        client.on("close", closed)
        client.end()

    pair(stage, act)


def written_in_the_peers_end(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def ended() -> None:
            stage.say("client", "write", client.write("y", stage.done("client", "written")))

        conn.on("data", stage.noting("conn", "data"))
        client.resume()
        client.on("end", ended)
        conn.end()

    pair(stage, act)


def timeout(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def idle() -> None:
            stage.say("client", "callback", client.timeout)
            client.setTimeout(0)
            client.end()

        conn.resume()
        client.resume()
        client.setTimeout(20, idle)

    pair(stage, act)
