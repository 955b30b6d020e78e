"""Requests that proxies have passed on: HAProxy, nginx, and clients that say what they are not entitled to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http
from socket2.http import Request

from ..interop.haproxy import haproxy
from ..tls.test_nginx import nginx
from .scene import exchanges, serve

SPOOFED = (
    b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\n"
    b"Forwarded: for=6.6.6.6;proto=https;host=evil\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")


async def tell(request: Request) -> None:
    client = request.client
    assert isinstance(client, tuple)
    await request.respond(200, f"{client[0]} {request.scheme} {request.host}")


def told(fields: bytes, **options: Any) -> str:
    return exchanges(tell, GET + fields + b"\r\n", **options).decode().rpartition("\r\n\r\n")[2]


def test_nobody_is_believed_unless_the_program_says_so() -> None:
    assert told(SPOOFED) == "127.0.0.1 http a"
    assert told(SPOOFED, trusted=["127.0.0.2", "10.0.0.0/8", "unix"], trusted_fields=ALL) == "127.0.0.1 http a"


def test_applications_see_the_host_that_a_trusted_peer_names() -> None:
    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["HTTP_HOST"].encode()]

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b" ".join(v for k, v in scope["headers"] if k == b"host")})

    for answer in (http.wsgi(wsgi), http.asgi(asgi)):
        for fields, host in ((ALL, b"evil"), (ALL[:1], b"a")):
            found = exchanges(answer, GET + SPOOFED + b"\r\n", trusted=["127.0.0.1"], trusted_fields=fields)
            assert found.endswith(b"\r\n\r\n" + host)


def test_a_trusted_peer_is_believed() -> None:
    local = {"trusted": ["127.0.0.1"]}
    assert told(SPOOFED, **local) == "6.6.6.6 https a"
    assert told(SPOOFED, **local, trusted_fields=ALL) == "6.6.6.6 https evil"
    assert told(SPOOFED, **local, trusted_fields="forwarded") == "6.6.6.6 https evil"
    assert told(SPOOFED, **local, trusted_fields=["x-forwarded-for"]) == "6.6.6.6 http a"
    assert told(b"", **local) == "127.0.0.1 http a"


def test_each_request_of_a_connection_has_its_own_client(caplog: pytest.LogCaptureFixture) -> None:
    requests = [b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % n for n in (1, 2, 2)]
    with caplog.at_level(logging.INFO, logger="socket2.http.access"):
        answer = exchanges(tell, *requests, trusted=["127.0.0.1"], access_log="common")
    assert [answer.count(b"192.0.2.%d http" % n) for n in (1, 2)] == [1, 2]
    assert [record.client for record in caplog.records] == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]  # type: ignore[attr-defined]


def test_a_wrong_field_is_an_error_of_the_call() -> None:
    with pytest.raises(ValueError, match="not an address"):
        told(b"", trusted=["localhost"])


def through(make: Any, **options: Any) -> bytes:
    """Return what a server behind a proxy says of a client that says it is another one. `make`: runs the proxy."""

    async def client(server: socket2.Server) -> bytes:
        with make(server.addresses[0][1]) as address, socket2.stream(await socket2.connect(address)) as conn:
            await conn.sendall(GET + SPOOFED + b"\r\n")
            head, _, body = (await conn.recvall()).rpartition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            return body

    found: bytes = serve(tell, client, trusted=["127.0.0.0/8"], **options)
    return found


def test_behind_haproxy(tmp_path: Path) -> None:
    def make(port: int) -> Any:
        front = " option forwardfor\n http-request set-header X-Forwarded-Proto http\n"
        return haproxy(tmp_path, f" server s 127.0.0.1:{port} source 127.0.0.9", front=front, mode="http")

    assert through(make) == b"6.6.6.6 http a"  # the client is at a trusted address as well
    assert through(make, trusted_fields="x-forwarded-for") == b"6.6.6.6 http a"


def test_behind_nginx(tmp_path: Path) -> None:
    @contextmanager
    def make(port: int) -> Iterator[Path]:
        set_fields = (
            "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;"
            " proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host b.example;"
        )
        block = f"listen unix:{tmp_path}/n/s; location / {{ proxy_pass http://127.0.0.1:{port}; {set_fields} }}"
        with nginx(tmp_path / "n", block):
            yield tmp_path / "n" / "s"

    # nginx calls a client at a UNIX path "unix:", which is no address
    assert through(make, trusted_fields=ALL) == b"127.0.0.1 https b.example"
