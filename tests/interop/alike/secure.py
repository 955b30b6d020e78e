"""The scenarios of secure.js, with socket2.net.tls."""

from __future__ import annotations

from typing import Any

from socket2.net import Socket, tls
from socket2.net.tls import TLSSocket

from .papers import ENDS, EVENTS, HERE, dial, flow, identity, ignore, pair, serve, trusting
from .stage import Stage


def the_handshake(stage: Stage) -> None:
    def state(one: TLSSocket) -> list[Any]:
        secure = [one.encrypted, one.authorized, one.authorizationError, one.alpnProtocol]
        return [*secure, one.servername, one.secureConnecting]

    def states(one: TLSSocket) -> list[Any]:
        cipher = one.getCipher() or {}
        return [one.getProtocol(), cipher["name"], cipher["version"], one.isSessionReused(), one.readyState]

    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        names = (client.getPeerCertificate() or {})["subjectaltname"]
        stage.say("client", "state", state(client), states(client), names)
        stage.say("conn", "state", state(conn), states(conn), conn.getPeerCertificate())
        flow(client, conn)

        def closed(_: bool) -> None:
            stage.say("client", "state", state(client), client.getPeerCertificate(), client.getProtocol())

        client.on("close", closed)
        client.end()

    pair(stage, act)


def the_handshake_of_version_1_2(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        stage.say("client", "state", client.getProtocol(), (client.getCipher() or {})["version"])
        stage.say("conn", "state", conn.getProtocol())
        flow(client, conn)
        client.end()

    pair(stage, act, client={"maxVersion": "TLSv1.2"})


def secure_comes_last(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        conn.on("secure", stage.noting("conn", "secure"))
        conn.resume()
        server.close()

    def go(where: dict[str, Any], _: tls.Server) -> None:
        client = dial(stage, where, "connect", "ready", "secure", "secureConnect", "end", "close")
        stage.say("client", "state", client.connecting, client.secureConnecting, client.pending, client.readyState)

        def connected() -> None:
            stage.say("client", "state", client.connecting, client.secureConnecting, client.authorized)

        client.on("connect", connected)
        client.on("secureConnect", lambda: client.end() and None)

    server = serve(stage, {}, take, go)


def the_peer_ends(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        conn.end()

    pair(stage, act)


def both_end(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        client.on("data", stage.noting("client hears", "data"))
        conn.on("data", stage.noting("conn hears", "data"))
        client.end("from the client")
        conn.end("from the server")

    pair(stage, act)


def half_open(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        def late() -> None:
            stage.say("conn", "writable", conn.writable, conn.readyState)
            conn.end("late")

        client.on("data", stage.noting("client", "data"))
        conn.on("data", stage.noting("conn", "data"))
        conn.on("end", lambda: stage.soon(late))
        client.end("first")
        client.on("finish", lambda: stage.say("client", "state", client.readyState))

    pair(stage, act, {"allowHalfOpen": True}, {"allowHalfOpen": True})


def destroyed(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        conn.removeAllListeners("error")
        conn.on("error", ignore)
        client.destroy()
        stage.say("client", "state", client.destroyed, client.writable, client.readable, client.readyState)

    pair(stage, act)


def destroyed_by_an_error(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        client.destroy(Exception("mine"))

    pair(stage, act)


def destroyed_in_data(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        def heard(data: bytes) -> None:
            stage.say("client", "data", data)
            client.destroy()

        conn.resume()
        client.on("data", heard)
        conn.end("hello")

    pair(stage, act)


def destroyed_in_connect(stage: Stage) -> None:
    def go(where: dict[str, Any], server: tls.Server) -> None:
        client = dial(stage, where, *EVENTS)
        client.on("connect", lambda: client.destroy() and None)
        server.on("tlsClientError", lambda *_: server.close() and None)

    serve(stage, {}, lambda _: stage.say("server", "unexpected"), go)


def destroyed_at_once(stage: Stage) -> None:
    def go(where: dict[str, Any], server: tls.Server) -> None:
        client = dial(stage, where, *EVENTS)
        client.destroy()
        client.on("close", lambda _: server.close() and None)

    serve(stage, {}, lambda _: stage.say("server", "unexpected"), go)


def destroyed_in_secure_connect(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        conn.on("error", ignore)
        conn.resume()

    def go() -> None:
        address = server.address()
        assert isinstance(address, dict)
        client = dial(stage, {"port": address["port"]}, *EVENTS)
        client.on("secureConnect", lambda: client.destroy() and None)

    server = tls.createServer(identity(stage), take)
    server.on("connection", lambda _: server.close() and None)
    server.listen(0, HERE, go)


def destroyed_in_secure_connection(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        stage.watch("conn", conn, *ENDS)
        conn.destroy()
        server.close()

    def go(where: dict[str, Any], _: tls.Server) -> None:
        client = tls.connect({**where, **trusting(stage)})
        client.on("error", ignore)
        client.on("close", lambda _: stage.say("client", "closed"))
        client.resume()

    server = serve(stage, {}, take, go)


def written_before(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        stage.watch("conn", conn, *ENDS).on("data", stage.noting("conn", "data"))
        server.close()

    def go(where: dict[str, Any], _: tls.Server) -> None:
        client = dial(stage, where, "connect", "secureConnect", "finish", "end", "close")
        stage.say("client", "write", client.write("a", stage.done("client calls", "written a")))
        client.write("b", stage.done("client calls", "written b"))
        client.end("c", stage.done("client calls", "ended"))
        client.resume()

    server = serve(stage, {}, take, go)


def written_in_secure_connect(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        def heard(data: bytes) -> None:
            stage.say("conn", "data", data)
            conn.end(data)

        conn.on("data", heard)
        client.on("data", stage.noting("client", "data"))
        stage.say("client", "write", client.write("hello", stage.done("client", "written")))
        stage.say("client", "bytes", client.bytesWritten, client.bytesRead)
        client.on("close", lambda _: stage.say("client", "bytes", client.bytesWritten, client.bytesRead))

    pair(stage, act)


def written_after_end(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        flow(client, conn)
        for event in ("close", "end", "finish"):
            client.removeAllListeners(event)
        client.end("x")
        stage.say("client", "write", client.write("y", stage.done("client", "written")))

    pair(stage, act)


def encoded(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        conn.resume()
        client.setEncoding("utf8")
        client.on("data", stage.noting("client", "data"))
        conn.write(b"\xc3")
        stage.after(20, lambda: conn.end(b"\xa9"))

    pair(stage, act)
