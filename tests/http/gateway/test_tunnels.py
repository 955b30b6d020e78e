"""A forward proxy: who gets which connection."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import http

from ...interop.peers import call, needs, refusing_port, swallowing
from ..client.scripted import Server, Steps, always, answer, echo, in_thread
from ..scene import ask, serve


def connect(where: str) -> bytes:
    return f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()


def allowed(*places: str) -> Any:
    def allow(request: http.Request, host: str, port: int) -> bool:
        return f"{host}:{port}" in places

    return allow


def told(request: bytes, allow: Any, **options: Any) -> bytes:
    """Return the first line of the answer."""

    async def client(server: socket2.Server) -> Any:
        return (await ask(server, request)).partition(b"\r\n")[0]

    found: bytes = serve(http.forward_proxy(allow, **options), client)
    return found


def test_only_what_is_allowed() -> None:
    port = refusing_port()
    assert told(connect(f"127.0.0.1:{port}"), allowed()) == b"HTTP/1.1 403 Forbidden"
    assert told(connect(f"127.0.0.1:{port}"), allowed(f"127.0.0.1:{port}")) == b"HTTP/1.1 502 Bad Gateway"
    assert told(connect(f"127.0.0.1:{port}"), lambda *_: "yes") == b"HTTP/1.1 403 Forbidden"  # not True
    get = b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    assert told(get, allowed()) == b"HTTP/1.1 405 Method Not Allowed"
    with pytest.raises(TypeError):
        http.forward_proxy(None)  # type: ignore[arg-type]


def test_an_address_in_brackets() -> None:
    seen: list[Any] = []

    async def allow(request: http.Request, host: str, port: int) -> bool:
        seen.append((request.client[0], host, port))
        return False

    assert told(connect("[::1]:443"), allow) == b"HTTP/1.1 403 Forbidden"
    assert seen == [("127.0.0.1", "::1", 443)]


def test_a_connection_that_cannot_be_made_in_time() -> None:
    with swallowing() as port:
        where = f"127.0.0.1:{port}"
        assert told(connect(where), allowed(where), connect_s=0.02) == b"HTTP/1.1 504 Gateway Timeout"


def test_our_client_and_curl_go_through_it() -> None:
    def main() -> Steps:
        upstream = Server([always(answer(b"hello")), echo])
        where = f"127.0.0.1:{upstream.port}"
        server = socket2.Server(http.handler(http.forward_proxy(allowed(where))))
        yield from server.listen("127.0.0.1", 0)
        with socket2.stream((yield from socket2.connect(*server.addresses[0]))) as conn:
            yield from conn.sendall(connect(where) + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (yield from conn.recvuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            conn.shutdown()
            assert (yield from conn.recvall()).endswith(b"\r\n\r\nhello")
        proxy = f"http://127.0.0.1:{server.addresses[0][1]}"
        command = [needs("curl"), "-sS", "--noproxy", "", "--proxytunnel", "--proxy", proxy, f"http://{where}/through"]
        done = yield from socket2.call_in_thread(call, command)
        assert done.stdout == b"GET /through HTTP/1.1"
        yield from server.stop()
        upstream.close()

    in_thread(main)()
