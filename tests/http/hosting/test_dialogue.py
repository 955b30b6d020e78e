"""WebSockets of ASGI applications, in our threads and in asyncio's loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import socket2
from socket2 import http

from ...garbage import left_by
from ...interop.peers import run
from ..scene import ask, connect
from ..test_server import GET
from ..websocket.scene import CLOSE, Raw, closing, request
from .test_asgi import START, Scope, body, hello

App = Callable[..., Coroutine[Any, Any, None]]
Client = Callable[[socket2.Server], Coroutine[Any, Any, Any]]
Serve = Callable[..., Any]

ACCEPT: Scope = {"type": "websocket.accept"}


@pytest.fixture(params=[False, True], ids=["ours", "asyncio"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def serve(app: App, client: Client, **options: Any) -> Any:
        found: list[Any] = []

        async def main() -> None:
            hosted = http.asgi(app, asyncio=request.param, lifespan="off", **options)
            server = socket2.Server(http.handler(hosted))
            await server.listen("127.0.0.1:0")
            if hosted.lifespan is not None:
                await hosted.lifespan.startup()
            try:
                found.append(await client(server))
            finally:
                await server.stop(5)
                if hosted.lifespan is not None:
                    await hosted.lifespan.shutdown(1)

        run(main)
        return found.pop()

    return serve


def url(server: socket2.Server) -> str:
    return f"ws://127.0.0.1:{server.addresses[0][1]}/chat?x=1"


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    assert await receive() == {"type": "websocket.connect"}
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    assert message["type"] == "websocket.disconnect"


def sending(*messages: Scope, ends: list[Any] | None = None) -> App:
    """Send all, and then note all that comes, up to the second disconnect."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        while ends is not None and len(ends) < 2:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                ends.append((message["code"], message["reason"]))

    return app


async def refused(server: socket2.Server) -> tuple[int, bytes]:
    found = await ask(server, request())
    return int(found[9:12]), found.partition(b"\r\n\r\n")[2]


def test_messages(serve: Serve) -> None:
    async def client(server: socket2.Server) -> None:
        async with await http.websocket(url(server)) as ws:
            for message in ("hello", b"\x00\xff", "", b"", "\u20ac" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message

    serve(echo, client)


def test_scope(serve: Serve) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({**ACCEPT, "subprotocol": "b", "headers": [(b"x", b"y")]})

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(request("Sec-WebSocket-Protocol: a, b", line="GET /%20?q HTTP/1.1"))
            head = await stream.recvuntil(b"\r\n\r\n")
            assert b"sec-websocket-protocol: b\r\n" in head
            assert head.endswith(b"x: y")

    serve(app, client, root_path="/shop")
    (scope,) = scopes
    assert "method" not in scope
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/shop/ ")
    assert (scope["raw_path"], scope["query_string"], scope["root_path"]) == (b"/%20", b"q", "/shop")
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"host", b"example.org") in scope["headers"]


def test_the_page_of_another_site_is_for_the_application_to_refuse(serve: Serve) -> None:
    async def client(server: socket2.Server) -> None:
        async with await http.websocket(url(server), headers={"Origin": "https://elsewhere.example"}) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    serve(echo, client)


def test_the_client_closes(serve: Serve) -> None:
    ends: list[Any] = []

    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        await ws.close(4001, "enough")

    serve(sending(ACCEPT, ends=ends), client)
    assert ends == [(4001, "enough")] * 2


def test_the_client_goes_without_a_word(serve: Serve) -> None:
    ends: list[Any] = []

    async def client(server: socket2.Server) -> None:
        (await http.websocket(url(server))).abort()

    serve(sending(ACCEPT, ends=ends), client)
    assert [code for code, _ in ends] == [1006, 1006]


def test_the_application_closes(serve: Serve) -> None:
    ends: list[Any] = []

    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        with pytest.raises(http.WebSocketClosed) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason) == (4000, "bye")

    close = {"type": "websocket.close", "code": 4000, "reason": "bye"}
    serve(sending(ACCEPT, close, close, ends=ends), client)
    assert ends == [(4000, "bye")] * 2


def test_an_application_that_returns_closes(serve: Serve) -> None:
    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        assert await ws.recv() is None
        assert ws.close_code == 1000

    serve(sending(ACCEPT), client)


def test_a_stop_of_the_server(serve: Serve) -> None:
    ends: list[Any] = []

    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        thread = socket2.newthread(server.stop, 5)
        assert await ws.recv() is None
        assert ws.close_code == 1001
        await thread.join()

    serve(sending(ACCEPT, ends=ends), client)
    assert ends[0][0] == 1001


def test_messages_that_are_too_long(serve: Serve) -> None:
    ends: list[Any] = []

    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        await ws.send("hello!")
        with pytest.raises(http.WebSocketClosed) as caught:
            await ws.recv()
        assert caught.value.code == 1009

    serve(sending(ACCEPT, ends=ends), client, max_message_bytes=5)
    assert ends[0][0] == 1009


def test_a_send_to_a_client_that_has_gone_is_an_oserror(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": "the connection has ended"}
        try:
            await send({"type": "websocket.send", "text": "hello"})
        except OSError as error:
            errors.append(error)
            raise

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(request())
            await stream.recvuntil(b"\r\n\r\n")

    serve(app, client)
    assert len(errors) == 1
    assert "Traceback" not in caplog.text


# Requests that become no WebSocket.


def test_refusing(serve: Serve) -> None:
    ends: list[Any] = []
    app = sending({"type": "websocket.close", "code": 4000}, {"type": "websocket.close"}, ends=ends)
    assert serve(app, refused) == (403, b"")
    assert ends == [(1006, "")] * 2


def test_refusing_with_an_answer(serve: Serve) -> None:
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x", b"y")]}
    pieces = [
        {"type": "websocket.http.response.body", "body": data, "more_body": data != b"lo"} for data in (b"hel", b"lo")
    ]
    ends: list[Any] = []
    assert serve(sending(start, *pieces, ends=ends), refused) == (401, b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    whole = {"type": "websocket.http.response.body", "body": b"hello"}
    assert serve(sending(start, whole), refused) == (401, b"hello")


def test_a_connection_goes_on_after_a_refusal(serve: Serve) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await hello(scope, receive, send)

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, request() + GET)

    found = serve(app, client)
    assert found.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert found.endswith(b"hello")


@pytest.mark.parametrize(
    ("spoilt", "status"), [("Sec-WebSocket-Version", 426), ("Sec-WebSocket-Key", 400), ("Upgrade", 200)]
)
def test_what_is_no_request_for_a_websocket(serve: Serve, spoilt: str, status: int) -> None:
    """An application does not see those that are malformed."""

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, request(left_out=spoilt))

    assert serve(hello, client).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "ended without accepting or closing the WebSocket"),
        ([{"type": "websocket.http.response.start", "status": 400}], "ended without the end of its answer"),
        ([{"type": "websocket.http.response.body"}], "has not sent http.response.start"),
        ([{"type": "websocket.send", "text": "hello"}], "comes behind websocket.accept"),
        ([START, body()], "a WebSocket cannot be answered with the message 'http.response.start'"),
        ([{**ACCEPT, "subprotocol": "a"}], "has not offered the subprotocol 'a'"),
        ([{**ACCEPT, "headers": [(b"x", b"y\r\n")]}], "control characters"),
        ([{**ACCEPT, "headers": [(b"Sec-WebSocket-Protocol", b"y")]}], "written by the handshake itself"),
    ],
)
def test_mistakes_before_it_is_accepted(
    serve: Serve, messages: list[Scope], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert serve(sending(*messages), refused) == (500, b"Internal Server Error\n")
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (ACCEPT, "accepted or refused the WebSocket before"),
        ({"type": "websocket.http.response.start", "status": 400}, "this one was accepted"),
        ({"type": "websocket.send"}, "either text or bytes"),
        ({"type": "websocket.send", "text": "a", "bytes": b"a"}, "either text or bytes"),
        ({"type": "websocket.send", "text": b"a"}, "must be a str, not bytes"),
        ({"type": "websocket.send", "bytes": "a"}, "must not be a str"),
        ({"type": "websocket.close", "code": 1005}, "not a code that a WebSocket can be closed with"),
        ({"type": "websocket.close", "reason": "x" * 124}, "at most 123 bytes"),
        (body(b"x"), "cannot be answered with the message 'http.response.body'"),
    ],
)
def test_mistakes_after_it_was_accepted(
    serve: Serve, message: Scope, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def client(server: socket2.Server) -> None:
        ws = await http.websocket(url(server))
        with pytest.raises(http.WebSocketClosed) as caught:
            await ws.recv()
        assert (caught.value.code, caught.value.reason) == (1011, "")

    serve(sending(ACCEPT, message), client)
    assert reason in caplog.text


@pytest.mark.parametrize("first", [[], [ACCEPT]])
def test_applications_that_exit(serve: Serve, first: list[Scope], caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in first:
            await send(message)
        raise SystemExit("secret")

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(request())
            head = await stream.recvuntil(b"\r\n\r\n")
            if not first:
                assert head.startswith(b"HTTP/1.1 500 ")
                return
            raw = Raw(stream, True)
            assert await raw_frame(raw) == (CLOSE, closing(1011))

    serve(app, client)
    assert "SystemExit" in caplog.text


async def raw_frame(raw: Raw) -> Any:
    first, length = await raw.lines.recvn(2)
    return first, await raw.lines.recvn(length)


def test_an_error_that_only_says_that_the_client_has_gone(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Starlette raises one from receive()."""

    class WebSocketDisconnect(Exception):
        pass

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if (await receive())["type"] == "websocket.disconnect":
            raise WebSocketDisconnect

    async def client(server: socket2.Server) -> None:
        async with await http.websocket(url(server)):
            pass

    serve(app, client)
    assert not caplog.text


def test_no_reference_cycles() -> None:
    async def client(server: socket2.Server) -> None:
        async with await http.websocket(url(server)) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    async def main() -> None:
        server = socket2.Server(http.handler(http.asgi(echo)))
        await server.listen("127.0.0.1:0")
        await client(server)
        await server.stop(5)

    assert left_by(lambda: run(main)) == []
