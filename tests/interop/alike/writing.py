"""The scenarios of writing.js, with socket2.net."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from socket2.net import Server, Socket

from .stage import MUCH, Stage

WATCHED = ("drain", "finish", "end", "error", "close")


def visit(stage: Stage, act: Callable[[Socket], Any], **options: Any) -> None:
    """Connect a client to a server that logs what it receives. Call act(client) when it is connected."""

    def take(conn: Socket) -> None:
        server.close()
        stage.watch("conn", conn, "data", "end", "close")

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(options), *WATCHED)
        client.resume()
        client.connect(port, "127.0.0.1", lambda: act(client))

    server = stage.serve({}, take, go)


def written(stage: Stage) -> None:
    def act(client: Socket) -> None:
        stage.say("client", "write", client.write("a", stage.done("client", "a")))
        stage.say("client", "write", client.write(b"b", stage.done("client", "b")))
        stage.say("client", "write", client.write("c", "utf8", stage.done("client", "c")))
        stage.say("client", "bytes", client.bytesWritten)
        client.end("d", "utf8", stage.done("client", "end"))

    visit(stage, act)


def written_in_encodings(stage: Stage) -> None:
    texts = [("6a6b", "hex"), ("aGk=", "base64"), ("aGk", "base64"), ("-_8", "base64url"), ("\u00e9", "latin1")]
    texts += [("\u00e9", "ascii"), ("\u00e9", "ucs2"), ("\U0001f600", "utf16le"), ("x", "UTF8"), ("\ud800", "utf8")]

    def act(client: Socket) -> None:
        def following(n: int) -> None:
            if n == len(texts):
                client.end()
                return
            stage.attempt("client", f"write {n}", lambda: client.write(*texts[n]))
            stage.say("client", "bytes", client.bytesWritten)
            stage.after(5, lambda: following(n + 1))

        following(0)

    visit(stage, act)


def written_wrongly(stage: Stage) -> None:
    def act(client: Socket) -> None:
        given: list[list[Any]] = [[5], [None], [{}], [True], [["a"]], ["x", "nonsense"]]
        for n, args in enumerate(given):
            stage.attempt("client", f"write {n}", functools.partial(client.write, *args))
        stage.say("client", "bytes", client.bytesWritten, client.destroyed)
        client.destroy()

    visit(stage, act)


def ended_wrongly(stage: Stage) -> None:
    def act(client: Socket) -> None:
        stage.attempt("client", "end", lambda: client.end(5))
        client.destroy()

    visit(stage, act)


def nothing_written(stage: Stage) -> None:
    def act(client: Socket) -> None:
        stage.say("client", "write", client.write("", stage.done("client", "a")))
        client.write(b"", stage.done("client", "b"))
        client.end("", stage.done("client", "end"))

    visit(stage, act)


def corked(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            stage.say("client", "uncork", client.writableLength)
            client.uncork()
            client.end()

        client.cork()
        stage.say("client", "write", client.write("a", stage.done("client", "a")))
        stage.say("client", "write", client.write("b", stage.done("client", "b")))
        stage.say("client", "length", client.writableLength, client.bytesWritten, client.writableCorked)
        stage.after(20, go_on)

    visit(stage, act)


def corked_and_ended(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.write("a", stage.done("client", "a"))
        client.write("b", stage.done("client", "b"))
        client.end(stage.done("client", "end"))
        stage.say("client", "corked", client.writableCorked)

    visit(stage, act)


def corked_and_ended_with_more(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.cork()
        client.write("a", stage.done("client", "a"))
        client.end("b", stage.done("client", "end"))

    visit(stage, act)


def corked_and_only_ended(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.end(stage.done("client", "end"))

    visit(stage, act)


def corked_and_destroyed(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.write("a", stage.done("client", "a"))
        client.destroy()

    visit(stage, act)


def corked_and_destroyed_soon(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.write("a", stage.done("client", "a"))
        client.destroySoon()

    visit(stage, act)


def corked_twice(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def go_on() -> None:
            stage.say("client", "length", client.writableLength)
            client.uncork()
            client.uncork()
            client.end()

        client.cork()
        client.cork()
        client.write("a", stage.done("client", "a"))
        client.uncork()
        stage.say("client", "length", client.writableLength, client.writableCorked)
        stage.after(20, go_on)

    visit(stage, act)


def corked_with_nothing(stage: Stage) -> None:
    def act(client: Socket) -> None:
        client.cork()
        client.uncork()
        client.write("a", stage.done("client", "a"))
        client.end()

    visit(stage, act)


def corked_before_it_is_connected(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        server.close()
        stage.watch("conn", conn, "data", "end", "close")

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket(), *WATCHED)
        client.resume()
        client.cork()
        client.connect(port, "127.0.0.1")
        client.write("a", stage.done("client", "a"))
        client.end(stage.done("client", "end"))

    server = stage.serve({}, take, go)


def drained(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def drain() -> None:
            stage.say("client", "length", client.writableLength, client.writableNeedDrain)
            client.destroy()

        stage.say("client", "write", client.write(MUCH, stage.done("client", "written")), client.writableNeedDrain)
        stage.say("client", "more", client.writableLength > 16384)
        client.on("drain", drain)

    visit(stage, act)


def not_drained_when_ended(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        server.close()
        conn.resume()

    def go(port: int, _: Server) -> None:
        def connected() -> None:
            client.write(MUCH)
            client.end()

        client = stage.watch("client", Socket(), *WATCHED)
        client.resume()
        client.connect(port, "127.0.0.1", connected)

    server = stage.serve({}, take, go)


def drained_by_a_small_mark_before_it_is_connected(stage: Stage) -> None:
    def take(conn: Socket) -> None:
        server.close()
        stage.watch("conn", conn, "data", "end", "close")

    def go(port: int, _: Server) -> None:
        client = stage.watch("client", Socket({"highWaterMark": 2}), *WATCHED)
        client.resume()
        client.connect(port, "127.0.0.1")
        stage.say("client", "write", client.write("a"))
        stage.say("client", "write", client.write("b", stage.done("client", "b")))
        client.on("drain", lambda: client.end() and None)

    server = stage.serve({}, take, go)


def ended_in_a_callback(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def done(_: Any) -> None:
            stage.say("client", "a")
            client.end("b", stage.done("client", "end"))

        client.write("a", done)

    visit(stage, act)


def destroyed_in_a_callback(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def done(_: Any) -> None:
            stage.say("client", "a")
            client.destroy()

        client.write("a", done)
        client.write("b", stage.done("client", "b"))

    visit(stage, act)


def states_of_writing(stage: Stage) -> None:
    def act(client: Socket) -> None:
        def tell(*_: Any) -> None:
            ends = [client.writable, client.writableEnded, client.writableFinished]
            stage.say("client", "states", [*ends, client.writableLength])

        tell()
        client.end("x")
        tell()
        client.on("finish", tell)
        client.on("close", tell)

    visit(stage, act)
