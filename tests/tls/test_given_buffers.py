"""recv_into() and sendall() with buffers of the program, as made in C and in Python."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import TLS, Busy, Cancelled, Operation, newthread, run, stream
from socket2.tls import layer

from ..interop.peers import pattern
from .certificates import Authority, versions
from .ends import Steps, shaken, tls

Call = Callable[..., Operation[Any]]


def in_c(method: Any) -> Call:
    call: Call = method
    return call


def in_python(method: Any) -> Call:
    call: Call = getattr(method, "__wrapped__", method)
    return call


WAYS = [in_python] if layer._records is None else [in_c, in_python]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@ways
@versions
@pytest.mark.parametrize("size", [8, 16_384, 65_536, 100_000])
def test_data_from_any_buffer_arrives_in_any_buffer(
    authority: Authority, version: str, size: int, way: Callable[[Any], Call]
) -> None:
    recv_into, sendall = way(TLS.recv_into), way(TLS.sendall)
    with tls(authority, version=version) as (client, server):

        def send(data: Any) -> Steps:
            assert (yield from sendall(client, data)) is None

        def main() -> Steps:
            yield from shaken(client, server)
            rooms: list[Any] = [bytearray(size), bytearray(3), array("i", bytes(16)), bytearray(70_000)]
            for number, room in enumerate(rooms):
                data = pattern(number, size)
                for given in [data, bytearray(data), memoryview(data), array("b", data), memoryview(data)[: size // 2]]:
                    sending = newthread(send(given))
                    expected = bytes(given)
                    got = bytearray()
                    while len(got) < len(expected):
                        count = yield from recv_into(server, room)
                        assert 0 < count <= len(memoryview(room).cast("B"))
                        got += memoryview(room).cast("B")[:count]
                        if size > 10_000 and len(memoryview(room).cast("B")) < 100:  # not for ever
                            got += yield from server.recv(65_536)
                    assert got == expected
                    yield from sending.join()

        run(main)


@ways
def test_the_buffer_is_held_while_the_operation_waits(authority: Authority, way: Callable[[Any], Call]) -> None:
    recv_into = way(TLS.recv_into)
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            buffer = bytearray(b"unchanged")
            op = recv_into(server, buffer, 4)
            buffer += b"!"  # not yet
            receiving = newthread(op)
            with pytest.raises(BufferError):
                buffer.pop()
            with pytest.raises(Busy):
                yield from recv_into(server, bytearray(1))
            receiving.cancel()
            with pytest.raises(Cancelled):
                yield from receiving.join()
            assert buffer == b"unchanged!"
            receiving = newthread(recv_into(server, buffer, 4))
            yield from client.sendall(b"data!")
            assert (yield from receiving.join()) == 4
            buffer.pop()
            assert buffer == b"dataanged"
            assert (yield from recv_into(server, memoryview(buffer)[4:])) == 1
            assert buffer == b"data!nged"
            server.settimeout(0.0)
            with pytest.raises(TimeoutError):
                yield from recv_into(server, buffer)
            assert buffer == b"data!nged"
            buffer.clear()

        run(main)


@ways
def test_a_buffer_that_shrinks_before_the_first_step(authority: Authority, way: Callable[[Any], Call]) -> None:
    recv_into, sendall = way(TLS.recv_into), way(TLS.sendall)
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            buffer, data = bytearray(9), bytearray(b"123456789")
            receiving, sending = recv_into(server, buffer), sendall(client, data)
            del buffer[3:], data[6:]
            yield from sending
            assert (yield from receiving) == 3
            assert buffer == b"123"
            receiving = recv_into(server, buffer)
            buffer.clear()
            assert (yield from receiving) == 0
            sending = sendall(client, data)
            data.clear()
            yield from sending
            view = memoryview(bytearray(4))
            receiving, sending = recv_into(server, view), sendall(client, view)
            view.release()
            for op in receiving, sending:
                with pytest.raises(ValueError, match="released"):
                    yield from op
            assert (yield from server.recv()) == b"456"

        run(main)


@ways
def test_data_is_not_used_after_a_send(authority: Authority, way: Callable[[Any], Call]) -> None:
    sendall = way(TLS.sendall)
    with tls(authority, room=30) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            data = bytearray(b"some data")
            sending: Any = newthread(sendall(client, data))
            with pytest.raises(BufferError):
                data.clear()
            sending.cancel()
            with pytest.raises(Cancelled) as failure:
                yield from sending.join()
            assert failure.value.bytes_sent == 9
            data.clear()
            receiving = newthread(stream(server).recvn(9))
            yield from client.sendall(b"")
            assert (yield from receiving.join()) == b"some data"

        run(main)


@ways
def test_arguments_that_are_refused(authority: Authority, way: Callable[[Any], Call]) -> None:
    recv_into, sendall = way(TLS.recv_into), way(TLS.sendall)
    with tls(authority) as (client, _):
        for buffer in (b"read-only", memoryview(b"read-only")):
            with pytest.raises(TypeError, match="writable"):
                recv_into(client, buffer)
        for n in (-1, 10):
            with pytest.raises(ValueError, match=r"negative|has 9 bytes, not 10"):
                recv_into(client, bytearray(9), n)
        for wrong in ("text", 5, None):
            with pytest.raises(TypeError):
                recv_into(client, wrong)
            with pytest.raises(TypeError):
                sendall(client, wrong)
        with pytest.raises(TypeError):
            recv_into(client)
        with pytest.raises(TypeError):
            recv_into(client, bytearray(1), 1, 1)
