"""The scenarios of connecting.js, with socket2.net."""

from __future__ import annotations

from typing import Any

from socket2 import net
from socket2.net import AbortController, Server, Socket

from .stage import Stage

ALL = (
    "lookup",
    "connectionAttempt",
    "connectionAttemptFailed",
    "connect",
    "ready",
    "end",
    "finish",
    "timeout",
    "error",
    "close",
)
FIRST = {"address": "127.0.0.1", "family": 4}
SECOND = {"address": "127.0.0.2", "family": 4}


def states(s: Socket) -> list[bool]:
    return [s.connecting, s.pending, s.destroyed, s.writableEnded, s.readableEnded]


def end_at_once(stage: Stage) -> Any:
    """A 'connection' listener that sends a good-bye and closes the server."""

    def take(conn: Socket) -> None:
        conn.end()
        conn.resume()
        if conn.server:
            conn.server.close()

    return take


def connect(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, *ALL, "data")
        server.close()

    def go(port: int, _: Server) -> None:
        def connected() -> None:
            stage.say("client", "callback")
            client.end("bye")

        client = Socket()
        stage.watch("client", client, *ALL, "data")
        client.once("connect", lambda: stage.say("client", "states", states(client)))
        client.connect(port, "127.0.0.1", connected)
        stage.say("client", "states", states(client))
        client.on("close", lambda _: stage.say("client", "states", states(client)))

    server = stage.serve({}, take, go)


def connect_by_name(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        answer(None, [FIRST]) if options["all"] else answer(None, "127.0.0.1", 4)

    def go(port: int, _: Server) -> None:
        stage.dial("client", {"port": port, "host": "somewhere", "lookup": lookup}, *ALL).resume()

    stage.serve({}, end_at_once(stage), go)


def connect_by_name_of_one_family(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        stage.say("lookup", "asked", host, options["family"], options["all"])
        answer(None, "127.0.0.1", 4)

    def go(port: int, _: Server) -> None:
        stage.dial("client", {"port": port, "host": "somewhere", "family": 4, "lookup": lookup}, *ALL).resume()

    stage.serve({}, end_at_once(stage), go)


def lookup_fails(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        error = OSError("no")
        error.code, error.syscall = "ENOTFOUND", "getaddrinfo"  # type: ignore[attr-defined]
        answer(error)

    stage.dial("client", {"port": 9, "host": "somewhere", "lookup": lookup}, *ALL)


def lookup_gives_nonsense(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        answer(None, "nonsense", 0)

    stage.dial("client", {"port": 9, "host": "somewhere", "family": 4, "lookup": lookup}, *ALL)


def lookup_gives_nothing(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        answer(None, [], 4)

    stage.dial("client", {"port": 9, "host": "somewhere", "lookup": lookup}, *ALL)


def lookup_never_answers(stage: Stage) -> None:
    where = {"port": 9, "host": "somewhere", "lookup": lambda *_: None, "timeout": 20}
    client = stage.dial("client", where, *ALL)
    client.on("timeout", lambda: client.destroy() and None)
    stage.after(60, lambda: None)


def lookup_answers_too_late(stage: Stage) -> None:
    def lookup(host: str, options: Any, answer: Any) -> None:
        stage.after(30, lambda: answer(None, "127.0.0.1", 4))

    client = stage.dial("client", {"port": 9, "host": "somewhere", "lookup": lookup}, *ALL)
    stage.soon(client.destroy)


def refused(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        def closed(_: Any) -> None:
            client = stage.dial("client", {"port": port, "host": "127.0.0.1"}, *ALL)
            client.write("x", stage.done("client", "written"))
            client.end(stage.done("client", "ended"))

        server.close(closed)

    stage.serve({}, None, go)


def refused_by_all(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        def closed(_: Any) -> None:
            where = {
                "port": port,
                "host": "somewhere",
                "lookup": lambda host, how, answer: answer(None, [FIRST, SECOND]),
            }
            client = stage.dial("client", where, *ALL)
            client.on(
                "close",
                lambda _: stage.say("client", "attempted", len(client.autoSelectFamilyAttemptedAddresses or ())),
            )

        server.close(closed)

    stage.serve({}, None, go)


def refused_by_the_first(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        where = {"port": port, "host": "somewhere", "lookup": lambda host, how, answer: answer(None, [SECOND, FIRST])}
        stage.dial("client", where, *ALL).resume()

    stage.serve({}, end_at_once(stage), go)


def refused_without_a_choice(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        def closed(_: Any) -> None:
            where: dict[str, Any] = {"port": port, "host": "somewhere", "autoSelectFamily": False}
            where["lookup"] = lambda host, how, answer: answer(None, "127.0.0.2", 4)
            stage.dial("client", where, *ALL)

        server.close(closed)

    stage.serve({}, None, go)


def no_such_path(stage: Stage) -> None:
    stage.dial("client", {"path": "/nowhere/at/all"}, *ALL)


def no_socket_at_path(stage: Stage) -> None:
    stage.dial("client", {"path": "/dev/null"}, *ALL)


def aborted_before(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        control = AbortController()
        control.abort()
        client = Socket({"signal": control.signal})
        stage.watch("client", client, *ALL)
        stage.say("client", "states", states(client))
        stage.attempt(
            "client", "connect()", lambda: client.connect(port, "127.0.0.1", stage.noting("client", "callback"))
        )
        stage.after(40, server.close)
        stage.after(40, client.destroy)

    stage.serve({}, lambda _: stage.say("server", "connection"), go)


def aborted_before_by_options(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        control = AbortController()
        control.abort()
        client = stage.watch("client", net.connect({"port": port, "host": "127.0.0.1", "signal": control.signal}), *ALL)
        stage.after(40, server.close)
        stage.after(40, client.destroy)

    stage.serve({}, lambda _: stage.say("server", "connection"), go)


def aborted_on_the_way(stage: Stage) -> None:
    def go(port: int, server: Server) -> None:
        control = AbortController()
        client = stage.watch("client", net.connect({"port": port, "host": "127.0.0.1", "signal": control.signal}), *ALL)
        client.write("x", stage.done("client", "written"))
        control.abort()
        stage.say("client", "states", states(client))
        server.close()

    stage.serve({}, lambda _: None, go)


def aborted_when_connected(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        def connected() -> None:
            control.abort()
            control.abort()
            stage.say("client", "states", states(client))

        control = AbortController()
        client = stage.watch("client", net.connect({"port": port, "host": "127.0.0.1", "signal": control.signal}), *ALL)
        client.on("connect", connected)

    server = stage.serve({}, take, go)


def aborted_after_the_end(stage: Stage) -> None:
    def go(port: int, _: Server) -> None:
        control = AbortController()
        client = stage.watch("client", net.connect({"port": port, "host": "127.0.0.1", "signal": control.signal}), *ALL)
        client.resume()
        client.on("close", lambda _: control.abort())

    stage.serve({}, end_at_once(stage), go)
