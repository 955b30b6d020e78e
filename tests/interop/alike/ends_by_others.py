"""More scenarios of ends.js, with socket2.net: resets, timeouts, and names after the end."""

from __future__ import annotations

import functools
import math
from typing import Any

from socket2.net import Server, Socket

from .ends import pair
from .stage import MUCH, Stage


def reset(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.resume()
        conn.resetAndDestroy()

    pair(stage, act)


def reset_while_writing(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.on("data", stage.noting("client", "data"))
        client.removeAllListeners("error")
        client.on("error", lambda error: stage.say("client", "error", error.code))  # an error of reading or of writing
        conn.pause()
        client.write(MUCH)
        stage.after(30, conn.resetAndDestroy)

    pair(stage, act)


def reset_while_ending(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.on("data", stage.noting("client", "data"))
        client.removeAllListeners("error")
        client.on("error", lambda error: stage.say("client", "error", error.code))
        conn.pause()
        client.end(MUCH, lambda error: stage.say("client ends", "ended", error.code))
        stage.after(30, conn.resetAndDestroy)

    pair(stage, act)


def reset_before_there_is_a_connection(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "end", "error", "close")
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        where = {"port": port, "host": "127.0.0.1"}
        client = stage.dial("client", where, "connect", "ready", "end", "error", "close")
        client.resetAndDestroy()
        stage.say("client", "state", client.destroyed, client.connecting)

    server = stage.serve({}, take, go)


def reset_without_a_connection(stage: Stage) -> None:
    client = stage.watch("client", Socket(), "error", "close")
    stage.attempt("client", "reset", lambda: client.resetAndDestroy())


def timeout_again(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        times: list[int] = []

        def idle() -> None:
            times.append(1)
            if len(times) == 1:
                client.write("x")
            else:
                client.setTimeout(0)  # on a busy machine it is idle once more before the end
                client.end()

        conn.resume()
        client.resume()
        client.setTimeout(10)
        client.on("timeout", idle)

    pair(stage, act)


def timeout_once_if_nothing_happens(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.resume()
        client.setTimeout(10)
        stage.after(80, client.destroy)

    pair(stage, act)


def timeout_taken_back(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        callback = stage.noting("client", "callback")
        conn.resume()
        client.resume()
        client.setTimeout(20, callback)
        client.setTimeout(0, callback)
        stage.say("client", "listeners", client.listenerCount("timeout"), client.timeout)
        stage.after(50, client.end)

    pair(stage, act)


def timeout_wrongly(stage: Stage) -> None:
    client = Socket()
    wrong: list[Any] = ["x", -1, math.inf, math.nan, None, {}]
    for n, value in enumerate(wrong):
        stage.attempt("client", f"timeout {n}", functools.partial(client.setTimeout, value))
    callback: Any = "x"
    stage.attempt("client", "callback", lambda: client.setTimeout(10, callback))
    stage.attempt("client", "fine", lambda: client.setTimeout(10))
    stage.say("client", "timeout", client.timeout)
    client.destroy()


def a_timer_does_not_keep_the_loop(stage: Stage) -> None:
    client = Socket()
    stage.watch("client", client, "timeout", "close")
    client.setTimeout(100)


def a_timer_of_an_unrefd_socket(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        client.resume()
        conn.resume()
        client.setTimeout(200)
        conn.setTimeout(200)
        client.unref()
        conn.unref()

    pair(stage, act)


def unref_before(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        client = stage.watch("client", Socket(), "connect", "close")
        client.unref()
        client.connect(port, "127.0.0.1")
        client.on("connect", lambda: server.close() and None)

    def take(conn: Socket) -> None:
        conn.unref()

    stage.serve({}, take, go)


def names_after_the_end(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def ended() -> None:
            address = client.address()
            assert isinstance(address, dict)
            stage.say("client", "names", client.remoteAddress, address["address"])

        def closed(_: bool) -> None:
            names = [client.remoteAddress, client.remotePort, client.localAddress, client.address(), client.pending]
            stage.say("client", "names", *names)

        conn.resume()
        client.resume()
        client.end()
        client.on("end", ended)
        client.on("close", closed)

    pair(stage, act)


def names_after_destroy(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        conn.resume()
        client.destroy()
        stage.say("client", "names", client.remoteAddress, client.remotePort, client.localAddress, client.address())

    pair(stage, act)


def states_on_the_way_out(stage: Stage) -> None:
    def act(client: Socket, conn: Socket) -> None:
        def tell(*_: Any) -> None:
            ends = [client.writableEnded, client.writableFinished, client.readableEnded, client.destroyed]
            stage.say("client", "states", [client.readyState, client.readable, client.writable, *ends])

        conn.resume()
        client.resume()
        tell()
        client.end()
        tell()
        for event in ("finish", "end", "close"):
            client.on(event, tell)

    pair(stage, act)
