"""More scenarios of secure.js, with socket2.net.tls: how data flows, timeouts, and forms of calls."""

from __future__ import annotations

from typing import Any

from socket2.net import Socket, tls
from socket2.net.tls import TLSSocket

from .papers import ENDS, HERE, dial, flow, pair, serve, trusting
from .stage import MUCH, Stage


def much_to_send(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        sizes: list[int] = []
        conn.on("data", lambda data: sizes.append(len(data)))
        conn.on("end", lambda: stage.say("conn", "size", sum(sizes)))
        stage.say("client", "write", client.write(MUCH, stage.done("client", "written")))
        client.on("drain", lambda: client.end(stage.done("client", "ended")) and None)
        client.resume()

    pair(stage, act)


def paused(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        sizes: list[int] = []

        def resume() -> None:
            stage.say("client", "still", sum(sizes), client.isPaused(), conn.writableLength > 0)
            client.resume()

        client.pause()
        client.on("data", lambda data: sizes.append(len(data)))
        client.on("end", lambda: stage.say("client", "size", sum(sizes)))
        conn.resume()
        conn.write(MUCH, stage.done("conn", "written"))
        conn.end()
        stage.after(50, resume)

    pair(stage, act)


def paused_on_connect(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        def resume() -> None:
            stage.say("conn", "resumes")
            conn.resume()

        stage.watch("conn", conn, *ENDS).on("data", stage.noting("conn", "data"))
        stage.say("conn", "paused", conn.isPaused())
        server.close()
        stage.after(30, resume)

    def go(where: dict[str, Any], _: tls.Server) -> None:
        tls.connect({**where, **trusting(stage)}).end("hello").resume()

    server = serve(stage, {"pauseOnConnect": True}, take, go)


def cut_off(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, raw: Socket) -> None:
        client.on("data", stage.noting("client", "data"))
        conn.write("hello", lambda _: raw.destroy() and None)  # no close_notify

    pair(stage, act)


def reset(stage: Stage) -> None:
    def act(client: TLSSocket, _: TLSSocket, raw: Socket) -> None:
        client.resume()
        raw.resetAndDestroy()

    pair(stage, act)


def timeout(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        def idle() -> None:
            stage.say("client", "callback", client.timeout)
            client.setTimeout(0)
            client.end()

        flow(client, conn)
        client.setTimeout(20, idle)

    pair(stage, act)


def timeout_by_option(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        stage.say("client", "timeout", client.timeout)
        client.end()

    pair(stage, act, client={"timeout": 5000})


def refused(stage: Stage) -> None:
    def go(where: dict[str, Any], server: tls.Server) -> None:
        server.close(lambda _: dial(stage, where, "connect", "secureConnect", "error", "close") and None)

    serve(stage, {}, lambda _: None, go)


def piped(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        conn.pipe(conn)
        client.on("data", stage.noting("client", "data"))
        client.end("hello")

    pair(stage, act)


def forms_of_connect(stage: Stage) -> None:
    left = ["third", "second", "first"]

    def take(conn: TLSSocket) -> None:
        conn.end("hello")
        conn.resume()
        left.pop()
        if not left:
            server.close()

    def go(where: dict[str, Any], _: tls.Server) -> None:
        port, more = where["port"], trusting(stage)
        tls.connect(port, HERE, more, stage.noting("first", "secureConnect")).resume()
        tls.connect(port, {"host": HERE, **more}, stage.noting("second", "secureConnect")).resume()
        tls.connect({**where, **more}, stage.noting("third", "secureConnect")).resume()

    server = serve(stage, {}, take, go)


def renegotiated(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        def refused(error: BaseException) -> None:
            stage.say("client", "callback", isinstance(error, Exception))
            client.end()

        flow(client, conn)
        stage.attempt("client", "renegotiate", lambda: client.renegotiate({}, refused))

    pair(stage, act)


def server_name_from_a_server(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        stage.attempt("conn", "setServername", lambda: conn.setServername("x"))
        client.end()

    pair(stage, act)
