"""curl fetches from a socket2 server that speaks just enough HTTP."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2

from .curl import command
from .peers import beside, call, pattern, run

BODY = pattern(40, 1_000_000)


@pytest.fixture
def curl() -> list[str]:
    return command()


class Server:
    """A server that answers GET with the content of the path, and POST with the content that was sent."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self._pages = pages
        self.log: list[tuple[int, str]] = []  # the number of the connection, and the request
        self._connections = 0

    def serve(self, conn: socket2.TCP) -> Generator[Any, Any, None]:
        """Answer one request after the other until the client closes."""
        self._connections += 1
        number = self._connections
        with conn:
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    data = yield from conn.recv(4096)
                    if not data:
                        return
                    received += data
                head, _, received = received.partition(b"\r\n\r\n")
                request, *headers = head.decode().split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
                method, path, version = request.split(" ")
                self.log.append((number, f"{method} {path}"))
                if "expect" in fields:
                    yield from conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                size = int(fields.get("content-length", "0"))
                while len(received) < size:
                    data = yield from conn.recv(65536)
                    assert data, "the request has been cut off"
                    received += data
                sent, received = received[:size], received[size:]
                body = sent if method == "POST" else self._pages[path]
                if version == "HTTP/1.0":
                    yield from conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)  # until the end of the stream
                    return
                yield from conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                yield from conn.sendall(body)


def fetch(curl: list[str], server: Server, *args: str, connections: int = 1, stdin: bytes = b"") -> bytes:
    """Run curl with these arguments, with {url} filled in, and return what it prints.

    The server accepts only that many connections: curl fails if it needs another one.
    """

    async def serve() -> bytes:
        listener = socket2.tcp()
        listener.listen("127.0.0.1")
        url = f"http://127.0.0.1:{listener.local_address[1]}"
        command = [*curl, *(arg.replace("{url}", url) for arg in args)]
        with beside(call, command, stdin) as client, listener:
            threads = [socket2.newthread(server.serve, await listener.accept()) for _ in range(connections)]
            for thread in threads:
                await thread.join()
        return client.outcome().stdout

    return run(serve)


def test_get(curl: list[str]) -> None:
    server = Server({"/": b"hello\n"})
    assert fetch(curl, server, "{url}/") == b"hello\n"
    assert server.log == [(1, "GET /")]


def test_two_requests_on_one_connection(curl: list[str], tmp_path: Path) -> None:
    server = Server({"/small": b"small", "/big": BODY})
    files = [str(tmp_path / name) for name in ("small", "big")]
    args = ["-w", "%{num_connects}\n", "-o", files[0], "{url}/small", "-o", files[1], "{url}/big"]
    assert fetch(curl, server, *args) == b"1\n0\n"
    assert Path(files[0]).read_bytes() == b"small"
    assert Path(files[1]).read_bytes() == BODY
    assert server.log == [(1, "GET /small"), (1, "GET /big")]


def test_an_answer_that_ends_with_the_connection(curl: list[str]) -> None:
    assert fetch(curl, Server({"/": BODY}), "--http1.0", "{url}/") == BODY


def test_post(curl: list[str]) -> None:
    args = ["--data-binary", "@-", "-H", "Expect: 100-continue", "{url}/"]
    assert fetch(curl, Server({}), *args, stdin=BODY) == BODY


def test_ten_at_once(curl: list[str], tmp_path: Path) -> None:
    server = Server({f"/{at}": pattern(at, 100_000) for at in range(10)})
    args = ["--parallel", "--parallel-immediate", "{url}/[0-9]", "-o", str(tmp_path / "#1")]
    fetch(curl, server, *args, connections=10)
    assert [(tmp_path / str(at)).read_bytes() for at in range(10)] == [pattern(at, 100_000) for at in range(10)]
