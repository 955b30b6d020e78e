"""Servers for the tests that send bytes exactly as they are told, over real sockets, and keep what they have got."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from socket2 import TCP, Stream, Thread, listen, newthread, run, sleep, stream, timeout
from socket2.threads.scheduler import current_scheduler
from tests.interop.peers import LIMIT_S, OSThread

Steps: TypeAlias = Generator[Any, Any, Any]
Script: TypeAlias = Callable[["Peer"], Steps]


def in_thread(test: Callable[..., Steps]) -> Callable[..., None]:
    """Decorate a test that is a generator function: it runs as the main thread of socket2, with a limit.

    All other threads must then end: they have been cancelled, or what they waited for was closed.
    """

    def limited(*args: Any, **kwargs: Any) -> Steps:
        with timeout(LIMIT_S):
            yield from test(*args, **kwargs)
            while len(current_scheduler().threads) > 1:
                yield from sleep(0)

    @wraps(test)
    def whole(*args: Any, **kwargs: Any) -> None:
        run(limited(*args, **kwargs))

    return whole


class _Quiet(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them

    def handle_error(self, *_: Any) -> None:
        """Print nothing: a client that has not read all may reset its connection."""


@contextmanager
def pythons_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run the standard library's server in an OS thread. Yield its URL."""
    server = _Quiet(("127.0.0.1", 0), handler)
    serving = OSThread(server.serve_forever, 0.01)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.outcome()
        server.server_close()


OK = b"HTTP/1.1 200 OK\r\n"


def answer(body: bytes = b"", *lines: str, status: str = "200 OK") -> bytes:
    """Return a response with a Content-Length."""
    fields = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Peer:
    """One connection of a server. `number`: which one it is, from 0."""

    def __init__(self, server: Server, conn: TCP | Any, number: int) -> None:
        self.server = server
        self.conn = conn
        self.lines: Stream = stream(conn)
        self.number = number

    def head(self) -> Steps:
        """Receive a head and return it, b"" if the client has left."""
        if not (yield from self.lines.peek()):
            return b""
        head = yield from self.lines.recvuntil(b"\r\n\r\n", keep_end=True)
        self.server.heads.append(head.decode("latin-1"))
        return head

    def request(self) -> Steps:
        """Receive a request with its body. Return the body, None if the client has left."""
        head = yield from self.head()
        if not head:
            return None
        if length := re.search(rb"content-length: (\d+)", head):
            body = yield from self.lines.recvn(int(length[1]))
        elif b"transfer-encoding: chunked" in head:
            body = b""
            while size := int((yield from self.lines.recvuntil(b"\r\n")), 16):
                body += (yield from self.lines.recvn(size + 2))[:-2]
            yield from self.lines.recvuntil(b"\r\n")
        else:
            body = b""
        self.server.bodies.append(body)
        return body

    def send(self, data: bytes) -> Steps:
        yield from self.lines.sendall(data)


def always(*data: bytes) -> Script:
    """Answer each request of a connection with the next of these, and close behind the last one."""

    def script(peer: Peer) -> Steps:
        for one in data:
            if (yield from peer.request()) is None:
                return
            yield from peer.send(one)

    return script


def echo(peer: Peer) -> Steps:
    """Answer each request with its body, or its first line."""
    while (body := (yield from peer.request())) is not None:
        yield from peer.send(answer(body or peer.server.heads[-1].partition("\r\n")[0].encode()))


class Server:
    """A server whose connections follow scripts: the first one the first script, the last script all others."""

    def __init__(self, scripts: Iterable[Script], where: str = "127.0.0.1:0", **options: Any) -> None:
        self.scripts = list(scripts)
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._listener = listen(where, **options)
        self._threads: list[Thread[Any]] = [newthread(self._accept)]
        self._conns: list[Any] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def secure_url(self) -> str:
        return f"https://localhost:{self.port}"

    def fields(self, number: int = -1) -> dict[str, str]:
        """Return the fields of a head that has come."""
        lines = self.heads[number].split("\r\n")[1:-2]
        return dict(line.split(": ", 1) for line in lines)

    def _accept(self) -> Steps:
        while True:
            conn = yield from self._listener.accept()
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            peer = Peer(self, conn, self.connections)
            self.connections += 1
            self._conns.append(conn)
            self._threads.append(newthread(self._serve, peer, script))

    @staticmethod
    def _serve(peer: Peer, script: Script) -> Steps:
        try:
            yield from script(peer)
        except OSError:
            pass  # the client has left, as some tests want
        finally:
            peer.conn.close()

    def close(self) -> None:
        for thread in self._threads:
            thread.cancel()
        for conn in self._conns:
            conn.close()
        self._listener.close()


@contextmanager
def serving(*scripts: Script, **options: Any) -> Generator[Server, None, None]:
    server = Server(scripts, **options)
    try:
        yield server
    finally:
        server.close()
