"""A program may shorten its buffer as soon as it knows how much was sent, even while the error still exists."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import Cancelled, luasocket, newthread, send_fds, sleep, timeout, unix
from socket2.streams.stream import Stream

from ..interop.peers import run

MUCH = 1 << 22  # more than a socket can hold

Send = Callable[[Any, bytearray], Any]
SENDS: dict[str, Send] = {
    "sendall": lambda sock, data: sock.sendall(data),
    "Stream.sendall": lambda sock, data: Stream(sock).sendall(data),
    "Stream.sendv": lambda sock, data: Stream(sock).sendv([b"small", data, b"small"]),
    "Stream.sendv of a generator": lambda sock, data: Stream(sock).sendv(piece for piece in [data, data]),
}
if hasattr(socket, "SCM_RIGHTS"):
    SENDS["send_fds"] = lambda sock, data: send_fds(sock, data, [0])


@pytest.fixture(params=SENDS)
def send(request: pytest.FixtureRequest) -> Send:
    return SENDS[request.param]


pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets on this system")


def test_out_of_time(send: Send) -> None:
    one, two = socket.socketpair()
    with unix(fileno=one.detach()) as sock, two:
        data = bytearray(MUCH)

        async def main() -> None:
            with pytest.raises(TimeoutError) as by_scope, timeout(0.01):
                await send(sock, data)
            del data[: by_scope.value.bytes_sent]  # type: ignore[attr-defined]
            sock.settimeout(0.01)
            with pytest.raises(TimeoutError) as by_socket:
                await send(sock, data)
            del data[: by_socket.value.bytes_sent]  # type: ignore[attr-defined]

        run(main)
        assert len(data) < MUCH


@pytest.mark.parametrize("end", ["cancel", "close", "reset"])
def test_ended(send: Send, end: str) -> None:
    one, two = socket.socketpair()
    with unix(fileno=one.detach()) as sock, two:
        data = bytearray(MUCH)
        errors: list[Any] = []

        async def sender() -> None:
            try:
                await send(sock, data)
            except BaseException as error:
                errors.append(error)

        async def main() -> None:
            thread = newthread(sender)
            await sleep(0)
            if end == "cancel":
                thread.cancel()
            elif end == "close":
                sock.close()
            else:
                two.close()
            await thread.join()

        run(main)
        del data[: errors[0].bytes_sent]
        assert isinstance(errors[0], Cancelled if end == "cancel" else OSError)
        data.append(0)
        errors.clear()


def test_luasocket() -> None:
    data = bytearray(MUCH)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client: Any
        client, _ = luasocket.connect(*listener.getsockname())
        client.settimeout(0.01)
        last, err, sent = client.send(data, 2)
        assert (last, err) == (None, "timeout")
        assert 0 < sent < MUCH
        del data[:sent]

        async def main() -> None:
            client.settimeout(None)
            with pytest.raises(TimeoutError) as failure, timeout(0.01):
                await client.send(data)
            del data[: failure.value.bytes_sent]  # type: ignore[attr-defined]

        run(main)
        client.close()
