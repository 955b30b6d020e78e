"""HTTP servers of the standard library, and other servers in OS threads, for the programs that ask servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..interop.peers import LIMIT_S, connect, receive_all


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: that a client breaks off is what some tests are about."""


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run http.server in OS threads, which end with the block."""
    with _Server(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False  # so that the end of the block waits for them
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(LIMIT_S)


@contextmanager
def scripted(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that does something with its first connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)

        def run() -> None:
            try:
                conn, _ = listener.accept()
            except OSError:
                return  # nobody has come
            with conn:
                conn.settimeout(LIMIT_S)
                serve(conn)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            if thread.is_alive():
                try:
                    listener.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # some systems end an accept() in this way only
            thread.join(LIMIT_S)


def head_of(conn: socket.socket) -> bytes:
    """Receive the head of an HTTP message, byte by byte."""
    data = b""
    while not data.endswith(b"\r\n\r\n") and (byte := conn.recv(1)):
        data += byte
    return data


def told(port: int, request: bytes) -> bytes:
    """Send bytes to a server, and return all that it answers until it closes the connection."""
    with connect("127.0.0.1", port) as sock:
        sock.sendall(request)
        return receive_all(sock)


def status_of(port: int, request: bytes) -> int:
    """Return the status of the answer to a request after which the server must close the connection."""
    return int(told(port, request).split(b" ", 2)[1])
