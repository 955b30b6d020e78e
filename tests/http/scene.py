"""An HTTP server and its clients in one loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import socket2
from socket2 import http

from ..interop.peers import run

Client = Callable[[socket2.Server], Coroutine[Any, Any, Any]]


def serve(answer: Callable[[http.Request], Any], client: Client, *, grace_s: float = 0.0, **options: Any) -> Any:
    """Run `client(server)` while a server answers requests. Then stop it."""

    async def main() -> Any:
        server = socket2.Server(http.handler(answer, **options))
        await server.listen("127.0.0.1", 0)
        try:
            return await client(server)
        finally:
            await server.stop(grace_s)

    return run(main)


async def connect(server: socket2.Server) -> socket2.Stream:
    return socket2.stream(await socket2.connect(server.addresses[0]))


async def everything(stream: socket2.Stream) -> bytes:
    """Return all that comes to the end of the stream, without the dates."""
    return undated(await stream.recvall())


def undated(data: bytes) -> bytes:
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"", data)


async def ask(server: socket2.Server, data: bytes, end: bool = True) -> bytes:
    """Send on a connection of its own, and return what comes to its end. `end`: end our half behind the data."""
    with await connect(server) as stream:
        await stream.sendall(data)
        if end:
            stream.shutdown()
        return await everything(stream)


def exchanges(answer: Callable[[http.Request], Any], *requests: bytes, end: bool = True, **options: Any) -> bytes:
    """Return the bytes that come back for some requests on one connection."""

    async def client(server: socket2.Server) -> bytes:
        return await ask(server, b"".join(requests), end)

    found: bytes = serve(answer, client, **options)
    return found


async def whole_answer(stream: socket2.Stream) -> tuple[int, dict[str, str], bytes]:
    """Return the status, fields and body of an answer that has a Content-Length or is chunked."""
    head = (await stream.recvuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.split("\r\n")
    fields = dict(field.split(": ", 1) for field in lines)
    status = int(line.split(" ")[1])
    if "content-length" in fields:
        return status, fields, await stream.recvn(int(fields["content-length"]))
    body = b""
    if fields.get("transfer-encoding") == "chunked":
        while size := int(await stream.recvuntil(b"\r\n"), 16):
            body += await stream.recvn(size)
            await stream.recvn(2)
        await stream.recvuntil(b"\r\n")
    return status, fields, body


def a_lifespan_fails(_: object) -> None:
    """Serve an ASGI application that raises when it is told to begin."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError(await receive())

    socket2.run(socket2.serve, http.handler(http.asgi(app)), "127.0.0.1:0", ready=socket2.Server.stop)
