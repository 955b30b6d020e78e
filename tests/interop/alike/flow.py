"""The scenarios of flow.js, with socket2.net."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from socket2 import net
from socket2.net import Server, Socket

from .stage import Stage

Act = Callable[[Socket], Any]

WATCHED = ("pause", "resume", "end", "error", "close")
MORE: dict[str, Callable[[Stage], None]] = {}


def ignore(*_: Any) -> None:
    pass


def visit(stage: Stage, give: Act, act: Act, **options: Any) -> None:
    """Connect a client to a server that calls give(conn). Call act(client) when it is connected."""

    def take(conn: Socket) -> None:
        server.close()
        conn.on("error", ignore)
        conn.on("end", lambda: conn.end() and None)
        conn.resume()
        give(conn)

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(options), *WATCHED)
        client.connect(port, "127.0.0.1", lambda: act(client))

    server = stage.serve({"allowHalfOpen": True}, take, go)


def hello(conn: Socket) -> None:
    conn.end("hello")


def tell(stage: Stage, client: Socket) -> None:
    client.on("data", stage.noting("client", "data"))


def data(stage: Stage) -> None:
    visit(stage, hello, lambda client: tell(stage, client))


def resumed(stage: Stage) -> None:
    visit(stage, hello, lambda client: stage.after(30, lambda: tell(stage, client)))


def resumed_without_a_listener(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.resume()
        stage.after(30, lambda: tell(stage, client))

    visit(stage, hello, act)


def nobody_listens(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def look() -> None:
            stage.say("client", "state", client.readableEnded, client.destroyed, client.isPaused())
            client.destroy()

        stage.after(40, look)

    visit(stage, hello, act)


def paused(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            stage.say("client", "still", client.isPaused())
            client.resume()
            stage.say("client", "paused", client.isPaused())

        tell(stage, client)
        client.pause()
        stage.say("client", "paused", client.isPaused())
        stage.after(30, go_on)

    visit(stage, hello, act)


def paused_before(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        conn.end("hello")
        conn.resume()
        server.close()

    def go(port: int, _: Server) -> None:
        def go_on() -> None:
            stage.say("client", "still", client.isPaused())
            client.resume()

        client = stage.watch("client", Socket(), *WATCHED)
        tell(stage, client)
        client.pause()
        client.connect(port, "127.0.0.1")
        stage.after(30, go_on)

    server = stage.serve({}, take, go)


def paused_and_resumed_at_once(stage: Stage) -> None:
    def act(client: Socket) -> None:
        tell(stage, client)
        client.pause()
        client.resume()
        client.pause()
        client.resume()

    visit(stage, hello, act)


def resumed_and_paused_at_once(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            stage.say("client", "still", client.isPaused())
            client.resume()

        tell(stage, client)
        client.pause()
        client.resume()
        client.pause()
        stage.after(30, go_on)

    visit(stage, hello, act)


def paused_twice(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            client.resume()
            client.resume()

        tell(stage, client)
        client.pause()
        client.pause()
        stage.after(30, go_on)

    visit(stage, hello, act)


def paused_in_data(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            stage.say("client", "still", client.isPaused())
            client.resume()

        def heard(data: bytes) -> None:
            stage.say("client", "data", data)
            client.pause()
            stage.after(20, go_on)

        client.on("data", heard)

    visit(stage, hello, act)


def paused_and_destroyed(stage: Stage) -> None:
    def act(client: Socket) -> None:
        tell(stage, client)
        client.pause()
        stage.after(20, client.destroy)

    visit(stage, hello, act)


def paused_and_ended(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.on("finish", stage.noting("client", "finish"))
        tell(stage, client)
        client.pause()
        client.end()
        stage.after(30, client.resume)

    visit(stage, hello, act)


def pause_on_connect(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        def go_on() -> None:
            stage.say("conn", "still", conn.isPaused())
            conn.resume()

        server.close()
        stage.watch("conn", conn, "data", *WATCHED)
        stage.say("conn", "paused", conn.isPaused())
        stage.after(30, go_on)

    server = stage.serve(
        {"pauseOnConnect": True}, take, lambda port, _: net.connect(port, "127.0.0.1").resume().end("hello")
    )


def a_then_b(conn: Socket) -> None:
    conn.write("a")
    conn.once("data", lambda _: conn.end("b") and None)


def a_listener_is_removed(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def first(data: bytes) -> None:
            stage.say("client", "data", data)
            client.removeListener("data", first)
            stage.say("client", "flows", client.isPaused())
            client.write("more")
            stage.after(30, lambda: client.on("data", stage.noting("client", "later")))

        client.on("data", first)

    visit(stage, a_then_b, act)


def listening_once(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def first(data: bytes) -> None:
            stage.say("client", "data", data)
            client.write("more")
            stage.after(30, lambda: client.on("data", stage.noting("client", "later")))

        client.once("data", first)

    visit(stage, a_then_b, act)


def two_listeners(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.on("data", stage.noting("first", "data"))
        client.on("data", stage.noting("second", "data"))
        client.prependListener("data", lambda _: stage.say("client", "before"))
        client.prependOnceListener("end", lambda: stage.say("client", "before end"))
        client.once("end", lambda: stage.say("client", "once end"))
        stage.say("client", "count", client.listenerCount("data"))

    visit(stage, hello, act)


def characters_are_not_split(stage: Stage) -> None:
    text = "a\u20acb\U0001f600c".encode()

    def give(conn: Socket) -> None:
        def following(n: int) -> None:
            if n == len(text):
                conn.end()
            else:
                conn.write(text[n : n + 1], lambda _: stage.after(3, lambda: following(n + 1)))

        following(0)

    visit(stage, give, functools.partial(_told_as, stage, "utf8"))


def _told_as(stage: Stage, encoding: str, client: Socket) -> None:
    client.setEncoding(encoding)
    tell(stage, client)


def half_a_character_at_the_end(stage: Stage) -> None:
    visit(stage, lambda conn: conn.end(b"\x61\xe2\x82"), functools.partial(_told_as, stage, "utf8"))


def no_characters_at_all(stage: Stage) -> None:
    wrong = b"\xff\x61\xc0\x80\xed\xa0\x80\xf0\x9f"
    visit(stage, lambda conn: conn.end(wrong), functools.partial(_told_as, stage, "utf8"))


def _encoding(encoding: str, stage: Stage) -> None:
    def give(conn: Socket) -> None:
        conn.write(b"\x61\x00\x3d")
        stage.after(15, lambda: conn.end(b"\xd8\x00\xde\x62"))

    visit(stage, give, functools.partial(_told_as, stage, encoding))


for _name in ("hex", "base64", "base64url", "latin1", "binary", "ucs2", "utf16le"):
    MORE[f"encoding_{_name}"] = functools.partial(_encoding, _name)
MORE["encoding_upper"] = functools.partial(_encoding, "UTF-8")


def encoding_unknown(stage: Stage) -> None:
    client = Socket()
    stage.attempt("client", "unknown", lambda: client.setEncoding("nonsense"))
    stage.attempt("client", "none", lambda: client.setEncoding())


def counted(stage: Stage) -> None:
    def act(client: Socket) -> None:
        tell(stage, client)
        stage.say("client", "bytes", client.bytesRead)
        client.on("end", lambda: stage.say("client", "bytes", client.bytesRead))
        client.on("close", lambda _: stage.say("client", "bytes", client.bytesRead))

    visit(stage, hello, act)


def _mark(mark: int, stage: Stage) -> None:
    def act(client: Socket) -> None:
        stage.say("client", "mark", client.readableHighWaterMark, client.writableHighWaterMark)
        tell(stage, client)

    visit(stage, hello, act, highWaterMark=mark)


def _mark_of_a_server(mark: int, stage: Stage) -> None:
    def take(conn: Socket) -> None:
        stage.watch("conn", conn, "data", *WATCHED)
        server.close()

    server = stage.serve(
        {"highWaterMark": mark}, take, lambda port, _: net.connect(port, "127.0.0.1").resume().end("hello")
    )


def _mark_paused(mark: int, stage: Stage) -> None:
    def act(client: Socket) -> None:
        tell(stage, client)
        client.pause()
        stage.after(20, client.resume)

    visit(stage, hello, act, highWaterMark=mark)


def _mark_late(mark: int, stage: Stage) -> None:
    visit(stage, hello, lambda client: stage.after(20, lambda: tell(stage, client)), highWaterMark=mark)


def _mark_nobody_listens(mark: int, stage: Stage) -> None:
    visit(stage, lambda conn: conn.end(), ignore, highWaterMark=mark)


def _mark_writes(mark: int, stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.on("drain", stage.noting("client", "drain"))
        client.resume()
        client.write("ab", stage.done("client writes", "written"))
        client.end()

    visit(stage, lambda conn: conn.end(), act, highWaterMark=mark)


for _n in (0, 1, 4):
    MORE[f"mark_{_n}"] = functools.partial(_mark, _n)
    MORE[f"mark_{_n}_of_a_server"] = functools.partial(_mark_of_a_server, _n)
    MORE[f"mark_{_n}_paused"] = functools.partial(_mark_paused, _n)
    MORE[f"mark_{_n}_late"] = functools.partial(_mark_late, _n)
    MORE[f"mark_{_n}_nobody_listens"] = functools.partial(_mark_nobody_listens, _n)
    MORE[f"mark_{_n}_writes"] = functools.partial(_mark_writes, _n)
