"""More scenarios of flow.js, with socket2.net: pipes, and buffers of the program's own."""

from __future__ import annotations

import functools

from socket2 import net
from socket2.net import Server, Socket

from .flow import WATCHED, tell, visit
from .stage import Stage


def piped_to_another(stage: Stage) -> None:
    def act(client: Socket) -> None:
        tell(stage, client)
        client.end("hello")

    visit(stage, lambda conn: conn.pipe(conn), act)


def _say_hello(stage: Stage, port: int, _: Server) -> None:
    client = stage.watch("client", net.connect(port, "127.0.0.1"), "data", "end", "close")
    client.end("hello")


def piped_without_end(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        def ended() -> None:
            stage.say("conn", "writable", conn.writable)
            conn.end("bye")

        server.close()
        stage.watch("conn", conn, "end", "finish", "close", "pipe", "unpipe")
        conn.pipe(conn, end=False)
        conn.on("end", ended)

    server = stage.serve({"allowHalfOpen": True}, take, functools.partial(_say_hello, stage))


def unpiped(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        def go_on() -> None:
            conn.resume()
            conn.end("bye")

        def heard(_: bytes) -> None:
            conn.unpipe(conn)
            stage.say("conn", "flows", conn.isPaused())
            stage.after(20, go_on)

        server.close()
        stage.watch("conn", conn, "end", "finish", "close", "pipe", "unpipe")
        conn.pipe(conn)
        conn.once("data", heard)

    server = stage.serve({"allowHalfOpen": True}, take, functools.partial(_say_hello, stage))


def received_into_a_buffer(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.end("hello")
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        onread = {"buffer": bytearray(3), "callback": lambda n, buffer: stage.say("client", "onread", n, buffer[:n])}
        client = stage.watch("client", Socket({"onread": onread}), "data", *WATCHED)
        client.connect(port, "127.0.0.1")

    server = stage.serve({}, take, go)


def received_into_a_buffer_with_a_pause(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.end("hello")
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        def read(n: int, buffer: bytearray) -> bool:
            stage.say("client", "onread", n, buffer[:n])
            stage.after(10, client.resume)
            return False

        onread = {"buffer": lambda: bytearray(3), "callback": read}
        client = stage.watch("client", Socket({"onread": onread}), "data", "end", "close")
        client.connect(port, "127.0.0.1")

    server = stage.serve({}, take, go)
