"""A WebSocket and its peer in one loop. The peer may be a socket with frames as bytes, to do what no library does."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import socket2
from socket2 import Stream, http
from socket2.http.websocket.codec import masking
from socket2.http.websocket.upgrade import accept_of

from ..client.scripted import Steps

# Here, because whoever imports this module opens WebSockets.
pytest.importorskip("websockets", reason="websockets is not installed (pip install websockets)")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROOF = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A

Use = Callable[[http.WebSocket], Steps]
Handler = Callable[[http.Request], Steps]


def frame(first: int, payload: bytes = b"", mask: bool = True) -> bytes:
    """Return a frame as a client sends it, or with `mask=False` as a server does."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    if not mask:
        return bytes([first]) + length + payload
    key = b"mask"
    return bytes([first, length[0] | 0x80]) + length[1:] + key + masking()(payload, key)


def closing(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2) + reason.encode()


def request(*fields: str, left_out: str = "-", line: str = "GET / HTTP/1.1") -> bytes:
    """Return the request of a client."""
    usual = [
        "Host: example.org",
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
    ]
    lines = [line, *(field for field in usual if not field.startswith(left_out)), *fields]
    return "".join(f"{one}\r\n" for one in lines).encode() + b"\r\n"


class Raw:
    """An end of a connection that sends and receives frames as bytes."""

    def __init__(self, lines: Stream, masks: bool) -> None:
        self.lines = lines
        self._masks = masks

    def send(self, *frames: tuple[int, bytes]) -> Steps:
        yield from self.lines.sendall(b"".join(frame(first, payload, self._masks) for first, payload in frames))

    def recv(self) -> Steps:
        """Return the first byte and the payload of a frame; None at the end."""
        if not (yield from self.lines.peek()):
            return None
        first, second = yield from self.lines.recvn(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes((yield from self.lines.recvn(2 if length == 126 else 8)))
        key = (yield from self.lines.recvn(4)) if second & 0x80 else bytes(4)
        assert (second >= 0x80) != self._masks, "who masks is wrong"
        return first, masking()((yield from self.lines.recvn(length)), key)

    def expect_close(self, code: int | None) -> Steps:
        """Receive a Close frame, and the end behind it."""
        found = yield from self.recv()
        assert found is not None
        assert found[0] == CLOSE
        assert (int.from_bytes(found[1][:2]) if found[1] else None) == code, found
        assert (yield from self.recv()) is None


@contextmanager
def serving(handler: Handler, **options: Any) -> Generator[socket2.Server, None, None]:
    """A server with one handler. It must be stopped in the block, or have no connections at its end."""
    server = socket2.Server(http.handler(handler, **options))
    listener = socket2.listen("127.0.0.1:0")
    server.add(listener)
    try:
        yield server
    finally:
        socket2.newthread(server.stop, 0.0)


def url(server: socket2.Server, scheme: str = "ws") -> str:
    return f"{scheme}://127.0.0.1:{server.addresses[0][1]}/"


@contextmanager
def raw_client(server: socket2.Server, *fields: str) -> Generator[Callable[[], Steps], None, None]:
    """A client that has opened a WebSocket by hand: `raw = yield from connect()`."""
    opened: list[Stream] = []

    def connect() -> Steps:
        lines = socket2.stream((yield from socket2.connect(server.addresses[0])))
        opened.append(lines)
        yield from lines.sendall(request(*fields))
        head = yield from lines.recvuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return Raw(lines, True)

    try:
        yield connect
    finally:
        for lines in opened:
            lines.close()


@contextmanager
def raw_server(script: Callable[[Raw], Steps]) -> Generator[str, None, None]:
    """A server that opens a WebSocket by hand, and then follows a script. Yields its URL."""
    listener = socket2.listen("127.0.0.1:0")
    conns: list[Stream] = []

    def accept() -> Steps:
        lines = socket2.stream((yield from listener.accept()))
        conns.append(lines)
        with suppress(OSError), lines:
            yield from lines.sendall(answer((yield from lines.recvuntil(b"\r\n\r\n"))))
            yield from script(Raw(lines, False))

    thread = socket2.newthread(accept)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.cancel()
        for lines in conns:
            lines.close()


def answer(head: bytes) -> bytes:
    """Return a server's answer to a request."""
    key = next(line for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key: "))
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key[19:])}\r\n\r\n"
    ).encode()


def deaf(raw: Raw) -> Steps:
    """A server that receives nothing."""
    yield from socket2.Event().wait()


def silent(raw: Raw) -> Steps:
    """A server that receives, and sends nothing."""
    while (yield from raw.recv()) is not None:
        pass


def echo(request: http.Request) -> Steps:
    ws = yield from request.websocket()
    while (message := (yield from ws.recv())) is not None:
        yield from ws.send(message)


def kept(done: list[Any], **options: Any) -> Callable[[http.Request], Steps]:
    """A handler that keeps what it receives to the end, and then the error or None."""

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket(**options)
        try:
            while True:
                message = yield from ws.recv()
                done.append(message)
                if message is None:
                    done.append((ws.close_code, ws.close_reason))
                    return
        except http.WebSocketClosed as error:
            done.append((error.code, error.reason, error.by_peer))

    return handler


@contextmanager
def served(use: Use, **options: Any) -> Generator[Callable[[], Steps], None, None]:
    """A raw client of a handler that does `use(ws)`."""

    def handler(request: http.Request) -> Steps:
        yield from use((yield from request.websocket(**options)))

    with serving(handler) as server, raw_client(server) as connect:
        yield connect
