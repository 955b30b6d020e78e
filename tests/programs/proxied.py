"""What the tests of the reverse proxy share: the proxy, backends, and requests."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from ..interop.curl import command
from ..interop.peers import ROOT, Program, call
from .backends import http_server, scripted
from .running import server

NAME = "reverse_proxy.py"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Handler(BaseHTTPRequestHandler):
    """Answers with the fields of the request and a hash of its body; in chunks, or until the end."""

    protocol_version = "HTTP/1.1"
    name = "one"

    def do_GET(self) -> None:
        self._answer(json.dumps({"name": self.name, "path": self.path, **self.headers}).encode())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x;ext=1\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(body), body)
        elif self.path != "/end":
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close, X-Secret")
        self.send_header("X-Secret", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Other(Handler):
    name = "two"


@contextmanager
def backend_process() -> Iterator[int]:
    """Run a backend in a process of its own, for tests that share it: its OS threads would outlive a test."""
    with Program([sys.executable, "-m", __name__], env={"PYTHONPATH": str(ROOT)}) as program:
        yield program.port()


@contextmanager
def between(*backends: int, args: tuple[str, ...] = ()) -> Iterator[tuple[Program, int]]:
    with server(NAME, *args, *(f"127.0.0.1:{port}" for port in backends)) as (program, port):
        yield program, port


@contextmanager
def before(serve: Callable[[socket.socket], None], *args: str) -> Iterator[int]:
    """Run the proxy before a server that serves one connection."""
    with scripted(serve) as backend, between(backend, args=args) as (_, port):
        yield port


def curl(port: int, *args: str, path: str = "/") -> bytes:
    return call(command(*args, f"http://127.0.0.1:{port}{path}")).stdout


if __name__ == "__main__":
    with http_server(Handler) as own_port:
        print(f"listening on 127.0.0.1:{own_port}", flush=True)
        threading.Event().wait()
