"""HTTP with the implementation of Go, in both roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import socket2
from socket2 import http

from ...interop.peers import Program, call
from ...tls.certificates import Authority
from ..client.scripted import Steps, in_thread
from ..gateway.test_garden import check

LARGE = b"0123456789" * 100_000


def test_go_behind_a_proxy(go: str, tmp_path: Path) -> None:
    @contextmanager
    def upstream(folder: Path) -> Iterator[str]:
        with Program([go, "serve", str(folder / "go")]) as program:
            program.announced("ready")
            yield f"unix:{folder / 'go'}"

    check(upstream, tmp_path)


async def answer(request: http.Request) -> None:
    if request.path == "/trailers":
        await request.start(200, {"Trailer": "X-Sum"})
        await request.send("a" * 1000)
        await request.end({"X-Sum": "1000"})
    elif request.path == "/none":
        await request.respond(204)
    else:
        await request.respond(200, await request.read() or b"hello")


@pytest.mark.parametrize("with_tls", [False, True])
def test_a_client_of_go(go: str, authority: Authority, with_tls: bool) -> None:
    @in_thread
    def test() -> Steps:
        server = socket2.Server(http.handler(answer), tls=authority.server() if with_tls else None)
        yield from server.listen("127.0.0.1", 0)
        scheme = "https" if with_tls else "http"
        command = [go, "ask", f"{scheme}://127.0.0.1:{server.addresses[0][1]}", str(authority.file) if with_tls else ""]
        done = yield from socket2.call_in_thread(call, command)
        assert done.stdout.decode().splitlines() == [
            "200 5 false false false ",
            "200 1000000 true true false ",
            "200 1000000 true true false ",
            "200 1000000 true true true ",
            "200 0 false true false ",
            "204 0 false true false ",
            "200 1000 false true false 1000",
        ]
        yield from server.stop()

    test()


def test_a_server_of_go(go: str, tmp_path: Path) -> None:
    """Our client sends bodies of known and unknown length, and one that waits for 100 (Continue)."""
    path = tmp_path / "go"

    def pieces() -> Steps:
        for at in range(0, len(LARGE), 50_000):
            yield LARGE[at : at + 50_000]

    @in_thread
    def test() -> Steps:
        with Program([go, "serve", str(path)]) as program:
            yield from socket2.call_in_thread(program.announced, "ready")
            client = http.Client(unix=path)
            for body, length in ((b"", None), (LARGE, None), (pieces(), None), (pieces(), len(LARGE))):
                with (yield from client.request("PUT", "http://a/b?c", body=body, length=length)) as response:
                    said = yield from response.json()
                    assert said == {"method": "PUT", "target": "/b?c", "body": (LARGE if body else b"").decode()}
            client.close()

    test()
