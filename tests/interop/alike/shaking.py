"""The scenarios of shaking.js, with socket2.net.tls."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from socket2 import net
from socket2.net import Server, Socket, tls
from socket2.net.tls import TLSSocket

from .papers import ENDS, EVENTS, HERE, dial, flow, identity, ignore, pair, serve, trusting
from .stage import Stage

Options = dict[str, Any]
Where = dict[str, Any]


def stranger(stage: Stage, act: Callable[[Socket], Any], **options: Any) -> tls.Server:
    """A plain client that does something with a server of TLS."""

    def go(where: Where, server: tls.Server) -> None:
        client = stage.watch("client", net.connect(where), "end", "close")
        client.on("error", ignore)
        client.on("connect", lambda: act(client) and None)
        client.resume().on("close", lambda _: server.close() and None)

    return serve(stage, options, partial(stage.say, "server", "unexpected"), go)


def strange_server(stage: Stage, act: Callable[[Socket], Any]) -> None:
    """A client of TLS and a plain server that does something."""

    def take(conn: Socket) -> None:
        conn.on("error", ignore)
        act(conn)

    def begin(port: int, server: Server) -> None:
        events = ("connect", "ready", "secureConnect", "finish", "timeout", "error", "close")
        client = dial(stage, {"port": port, "host": HERE}, *events)
        client.on("connect", lambda: client.setTimeout(500) and None)
        client.on("timeout", lambda: client.destroy() and None)
        client.on("close", lambda _: server.close() and None)

    stage.serve({}, take, begin)


def plain_http(stage: Stage) -> None:
    stranger(stage, lambda client: client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))


def plain_nonsense(stage: Stage) -> None:
    stranger(stage, lambda client: client.write("nonsense nonsense nonsense"))


def a_client_that_leaves(stage: Stage) -> None:
    stranger(stage, lambda client: client.end())


def a_client_that_leaves_in_the_middle(stage: Stage) -> None:
    stranger(stage, lambda client: client.end(bytes([22, 3, 1, 2, 0, 1])))


def a_client_that_resets(stage: Stage) -> None:
    stranger(stage, lambda client: stage.after(30, client.resetAndDestroy))


def a_client_that_is_silent(stage: Stage) -> None:
    server = stranger(stage, ignore, handshakeTimeout=50)
    server.on("tlsClientError", lambda _, conn: conn.destroy() and None)


def a_server_that_leaves(stage: Stage) -> None:
    strange_server(stage, lambda conn: conn.end())


def a_server_that_leaves_in_the_middle(stage: Stage) -> None:
    begun = bytes([22, 3, 3, 0, 99, 2])
    strange_server(stage, lambda conn: conn.once("data", lambda _: conn.end(begun) and None))


def a_server_that_resets(stage: Stage) -> None:
    strange_server(stage, lambda conn: conn.once("data", lambda _: conn.resetAndDestroy() and None))


def a_server_without_tls(stage: Stage) -> None:
    strange_server(stage, lambda conn: conn.end("220 hello, this is a mail server\r\n"))


def a_server_that_is_silent(stage: Stage) -> None:
    def act(conn: Socket) -> None:
        conn.on("close", lambda _: stage.say("conn", "closed"))
        conn.resume()

    strange_server(stage, act)


def no_common_version(stage: Stage) -> None:
    def go(where: Where, server: tls.Server) -> None:
        client = dial(stage, where, "connect", "secureConnect", "error", "close", maxVersion="TLSv1.2")
        client.on("close", lambda _: server.close() and None)

    serve(stage, {"minVersion": "TLSv1.3"}, partial(stage.say, "server", "unexpected"), go)


def ended_before_the_handshake(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        conn.on("error", ignore)
        conn.on("end", lambda: stage.say("conn", "end"))
        conn.resume()

    def go(where: Where, server: tls.Server) -> None:
        client = dial(stage, where, *EVENTS)
        client.end().resume().on("close", lambda _: server.close() and None)

    serve(stage, {}, take, go)


# Sessions.


def resume(stage: Stage, version: str) -> None:
    rules = trusting(stage)
    context = tls.createSecureContext({"ca": rules["ca"], "maxVersion": version})
    sessions: list[Any] = []

    def take(conn: TLSSocket) -> None:
        conn.end("hello")
        conn.resume()

    def go(where: Where, server: tls.Server) -> None:
        first = tls.connect({**where, **rules, "secureContext": context})
        first.on("session", sessions.append)
        first.on("secureConnect", lambda: stage.say("first", "reused", first.isSessionReused()))
        first.resume().on("close", lambda _: again(where, server))

    def again(where: Where, server: tls.Server) -> None:
        stage.say("first", "session", bool(sessions))
        second = tls.connect({**where, **rules, "secureContext": context, "session": sessions[-1]})

        def secured() -> None:
            stage.say("second", "reused", second.isSessionReused(), second.authorized)

        second.on("secureConnect", secured)
        second.resume().on("close", lambda _: server.close() and None)

    serve(stage, {}, take, go)


def resumed(stage: Stage) -> None:
    resume(stage, "TLSv1.3")


def resumed_in_version_1_2(stage: Stage) -> None:
    resume(stage, "TLSv1.2")


def keys_are_told(stage: Stage) -> None:
    def told(who: str) -> Callable[..., None]:
        def tell(line: bytes, *conn: TLSSocket) -> None:
            stage.say(who, "key", bool(re.fullmatch(rb"[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]+\n", line)), not conn)

        return tell

    def take(conn: TLSSocket) -> None:
        stage.say("server", "secure")
        conn.resume()
        server.close()

    def go(where: Where, _: tls.Server) -> None:
        client = dial(stage, where, "secureConnect", "close")
        client.on("keylog", told("client"))
        client.on("secureConnect", lambda: client.end() and None)
        client.resume()

    server = serve(stage, {}, take, go)
    server.on("keylog", told("server"))


# TLS over sockets.


def over(stage: Stage, connected: bool) -> None:
    def take(conn: TLSSocket) -> None:
        stage.watch("conn", conn, *ENDS).on("data", lambda data: conn.end(data) and None)
        server.close()

    def go(where: Where, _: tls.Server) -> None:
        below = net.connect(where)
        stage.watch("below", below, "connect", "data", "end", "finish", "error", "close")

        def begin() -> None:
            client = stage.watch("client", tls.connect({"socket": below, **trusting(stage)}), *EVENTS)
            client.on("data", stage.noting("client", "data"))
            stage.say("client", "connecting", client.connecting)

            def secured() -> None:
                stage.say("client", "where", client.remotePort, client.authorized)
                client.write("hello")

            client.on("secureConnect", secured)

        if connected:
            below.once("connect", begin)
        else:
            begin()

    server = serve(stage, {}, take, go)


def over_a_socket_that_connects(stage: Stage) -> None:
    over(stage, connected=False)


def over_a_connected_socket(stage: Stage) -> None:
    over(stage, connected=True)


def over_a_socket_that_is_refused(stage: Stage) -> None:
    def closed(where: Where) -> None:
        below = stage.watch("below", net.connect(where), "error", "close")
        client = tls.connect({"socket": below, **trusting(stage)})
        stage.watch("client", client, "connect", "secureConnect", "error", "close")

    serve(stage, {}, ignore, lambda where, server: server.close(lambda _: closed(where)))


def over_a_socket_that_is_destroyed(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, raw: Socket) -> None:
        flow(client, conn)
        stage.watch("raw", raw, "end", "error", "close")
        raw.destroy()

    pair(stage, act)


def begun_by_a_command(stage: Stage) -> None:
    def take(raw: Socket) -> None:
        def begin(data: bytes) -> None:
            stage.say("raw", "data", data)
            raw.write("go ahead")
            made = TLSSocket(raw, {"isServer": True, **identity(stage)})
            conn = stage.watch("conn", made, "secure", *ENDS)

            def heard(more: bytes) -> None:
                stage.say("conn", "data", more)
                conn.end("bye")

            conn.on("data", heard)
            server.close()

        stage.watch("raw", raw, "end", "error", "close")
        raw.once("data", begin)

    def go(port: int, _: Server) -> None:
        def begin(data: bytes) -> None:
            stage.say("below", "data", data)
            client = stage.watch("client", tls.connect({"socket": below, **trusting(stage)}), *EVENTS)
            client.on("secureConnect", lambda: client.write("hello") and None)
            client.on("data", stage.noting("client", "data"))

        below = net.connect(port, HERE)
        below.write("begin")
        below.once("data", begin)

    server = stage.serve({}, take, go)


def a_connection_from_elsewhere(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        stage.say("conn", "protocol", conn.getProtocol())
        conn.end("hello")

    secure = tls.createServer(identity(stage), take)

    def hand_over(raw: Socket) -> None:
        secure.emit("connection", raw)
        server.close()

    def go(port: int, _: Server) -> None:
        dial(stage, {"port": port, "host": HERE}, *EVENTS).on("data", stage.noting("client", "data"))

    server = stage.serve({}, hand_over, go)


def tls_in_tls(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        stage.watch("conn", conn, *ENDS).on("data", lambda data: conn.end(data) and None)

    inner = tls.createServer(identity(stage), take)

    def hand_over(outer: TLSSocket) -> None:
        inner.emit("connection", outer)
        server.close()

    def go(where: Where, _: tls.Server) -> None:
        def begin() -> None:
            client = stage.watch("client", tls.connect({"socket": outer, **trusting(stage)}), *EVENTS)
            client.on("data", stage.noting("client", "data"))
            client.on("secureConnect", lambda: client.write("hello") and None)

        outer = tls.connect({**where, **trusting(stage)}, begin)

    server = serve(stage, {}, hand_over, go)
