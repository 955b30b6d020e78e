"""Data over an established connection, and operations that come at the wrong time."""

from __future__ import annotations

import array
import random
import socket
from typing import Any

import pytest

from socket2 import TLS, Busy, Cancelled, Closed, newthread, sleep, stream, timeout

from ...interop.peers import pattern
from ..ends import Steps, limited, shaken
from .pairs import Contexts, connected, pair


@pytest.mark.parametrize("size", [1, 255, 16_383, 16_384, 16_385, 50_000])
def test_data_comes_back(contexts: Contexts, size: int) -> None:
    """CPython test_echo, test_recv_send; trio test_ssl_client_basics, test_ssl_server_basics."""
    data = pattern(71, size)

    def test(client: TLS, server: TLS) -> Steps:
        sending = newthread(client.sendall(data))
        assert (yield from stream(server).recvn(size)) == data
        yield from sending.join()
        sending = newthread(server.sendall(data))
        assert (yield from stream(client).recvn(size)) == data
        yield from sending.join()

    connected(contexts, test)


BUFFERS = {
    "bytearray": bytearray(b"12345678"),
    "memoryview": memoryview(b"12345678"),
    "every other byte": memoryview(b"1a2b3c4d5e6f7g8h")[::2],
    "array": array.array("B", b"12345678"),
    "items of four bytes": array.array("I", b"12345678"),
    "two dimensions": memoryview(b"12345678").cast("B", (2, 4)),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_any_buffer_is_sent_as_its_bytes_or_refused(contexts: Contexts, kind: str) -> None:
    """CPython test_recv_send, test_echo: sendall takes bytes-like objects."""
    data: Any = BUFFERS[kind]

    def test(client: TLS, server: TLS) -> Steps:
        try:
            yield from client.sendall(data)
        except (TypeError, ValueError, BufferError):
            yield from client.sendall(b"12345678")  # nothing of it was sent
        assert (yield from stream(server).recvn(8)) == b"12345678"

    connected(contexts, test)


def test_data_is_received_into_items_of_several_bytes(contexts: Contexts) -> None:
    """CPython test_recv_into_buffer_protocol_len: the length of a buffer is that of its bytes."""
    buffer = array.array("I", [0, 0])

    def test(client: TLS, server: TLS) -> Steps:
        yield from client.sendall(b"12345678")
        assert (yield from server.recv_into(buffer)) == 8
        assert buffer.tobytes() == b"12345678"

    connected(contexts, test)


def test_nothing_is_received_if_nothing_is_asked_for(contexts: Contexts) -> None:
    """CPython test_recv_zero, test_read_write_zero."""

    def test(client: TLS, server: TLS) -> Steps:
        assert (yield from server.recv(0)) == b""
        assert (yield from server.recv_into(bytearray())) == 0
        yield from client.sendall(b"data")
        assert (yield from server.recv(0)) == b""
        assert (yield from server.recv()) == b"data"

    connected(contexts, test)


@pytest.mark.parametrize("into", [False, True])
def test_a_count_limits_what_is_received(contexts: Contexts, into: bool) -> None:
    """CPython test_recv_send: recv and recv_into with counts."""

    def test(client: TLS, server: TLS) -> Steps:
        yield from client.sendall(b"abcdef")
        if into:
            buffer = bytearray(6)
            assert (yield from server.recv_into(buffer, 2)) == 2
            assert buffer == b"ab\0\0\0\0"
            with pytest.raises(ValueError, match="buffer"):
                yield from server.recv_into(buffer, 7)
        else:
            assert (yield from server.recv(2)) == b"ab"
            with pytest.raises(ValueError, match="negative"):
                yield from server.recv(-1)
        assert (yield from server.recv()) == b"cdef"

    connected(contexts, test)


@pytest.mark.parametrize("wrong", ["text", 5, None, ["list"]], ids=["str", "int", "None", "list"])
def test_what_is_no_data_is_refused(contexts: Contexts, wrong: Any) -> None:
    """CPython test_recv_send, MemoryBIOTests.test_error_types."""

    def test(client: TLS, server: TLS) -> Steps:
        with pytest.raises(TypeError):
            yield from client.sendall(wrong)
        with pytest.raises(TypeError):
            yield from client.recv_into(wrong)
        with pytest.raises((TypeError, BufferError)):
            yield from client.recv_into(b"read-only")
        yield from client.sendall(b"data")
        assert (yield from server.recv()) == b"data"

    connected(contexts, test)


def test_no_data_is_sent_as_nothing(contexts: Contexts) -> None:
    """Trio test_send_all_empty_string."""

    def test(client: TLS, server: TLS) -> Steps:
        yield from client.sendall(b"")
        yield from client.sendall(b"x")
        assert (yield from server.recv()) == b"x"

    connected(contexts, test)


def test_both_directions_at_once(contexts: Contexts) -> None:
    """Trio test_full_duplex_basics, test_renegotiation_randomized: data in pieces of any size, through little room."""
    chance = random.Random(4)
    data = chance.randbytes(30_000)
    sizes = [chance.choice([1, 10, 1000, 5000]) for _ in range(1000)]

    def send(at: TLS) -> Steps:
        done = 0
        for size in sizes:
            if done >= len(data):
                break
            yield from at.sendall(data[done : done + size])
            done += size
        at.shutdown()

    def main() -> Steps:
        both = pair(contexts, room=700)
        with both[0], both[1]:
            yield from shaken(*both)
            threads = [newthread(send, at) for at in both]
            receiving = [newthread(stream(at).recvall()) for at in both]
            for thread in receiving:
                assert (yield from thread.join()) == data
            for thread in threads:
                yield from thread.join()

    limited(main)


@pytest.mark.parametrize("first", ["recv", "sendall", "handshake"])
def test_the_first_operation_makes_the_handshake(contexts: Contexts, first: str) -> None:
    """Trio test_attributes, test_ssl_client_basics; CPython test_do_handshake_enotconn."""

    def main() -> Steps:
        client, server = pair(contexts)
        with client, server:
            operations = {"recv": server.recv(), "sendall": server.sendall(b"x"), "handshake": server.handshake()}
            doing = newthread(operations.pop(first))
            for other in operations.values():
                other.close()
            yield from client.sendall(b"data")
            yield from doing.join()
            assert client.version == server.version

    limited(main)


def test_a_second_handshake_does_nothing(contexts: Contexts) -> None:
    """Trio test_ssl_client_basics, test_renegotiation_simple."""

    def test(client: TLS, server: TLS) -> Steps:
        version, cipher = client.version, client.cipher
        for _ in range(3):
            yield from client.handshake()
            yield from server.handshake()
        assert (client.version, client.cipher) == (version, cipher)
        yield from client.sendall(b"data")
        assert (yield from server.recv()) == b"data"

    connected(contexts, test)


@pytest.mark.parametrize("direction", ["receive", "send"])
def test_a_second_thread_in_a_direction_is_refused(contexts: Contexts, direction: str) -> None:
    """Trio test_resource_busy_errors."""

    def main() -> Steps:
        client, server = pair(contexts, room=2000)
        with client, server:
            yield from shaken(client, server)
            first = newthread(client.recv() if direction == "receive" else client.sendall(bytes(9000)))
            yield from sleep(0)
            with pytest.raises(Busy):
                yield from client.recv() if direction == "receive" else client.sendall(b"x")
            with pytest.raises(Busy):
                yield from client.finish()
            first.cancel()
            yield from sleep(0)
            assert not client.closed

    limited(main)


@pytest.mark.parametrize("operation", ["recv", "recv_into", "sendall", "shutdown", "handshake"])
def test_after_close_nothing_can_be_done(contexts: Contexts, operation: str) -> None:
    """CPython test_read_write_after_close_raises_valuerror; trio test_closing_nice_case."""

    def test(client: TLS, server: TLS) -> Steps:
        client.close()
        client.close()
        doing: dict[str, Any] = {
            "recv": client.recv,
            "recv_into": lambda: client.recv_into(bytearray(1)),
            "sendall": lambda: client.sendall(b"x"),
            "handshake": client.handshake,
        }
        if operation == "shutdown":
            with pytest.raises(Closed):
                client.shutdown()
            return
        with pytest.raises(Closed):
            yield from doing[operation]()

    connected(contexts, test)


def test_every_operation_lets_others_run(contexts: Contexts) -> None:
    """Trio test_checkpoints: a thread that was cancelled notices it in any operation, if it repeats it."""

    def test(client: TLS, server: TLS) -> Steps:
        def busy(operation: Any) -> Steps:
            while True:
                yield from operation()

        with pytest.raises(TimeoutError), timeout(0):
            yield from client.recv()  # now it knows that nothing has come
        server.shutdown(socket.SHUT_RD)
        for operation in (client.handshake, lambda: client.sendall(b""), lambda: client.recv(0), server.recv):
            thread = newthread(busy, operation)
            yield from sleep(0)
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        client.shutdown(socket.SHUT_RD)
        thread = newthread(busy, client.recv)
        yield from sleep(0)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()

    connected(contexts, test)


def test_what_a_connection_is_can_be_asked_before_the_handshake(contexts: Contexts) -> None:
    """CPython test_getpeercert_enotconn, test_wrapped_unconnected; trio test_attributes."""
    client, server = pair(contexts)
    for at in (client, server):
        assert (at.version, at.cipher, at.alpn, at.peer_certificate, at.session) == (None,) * 5
        assert not at.resumed
        assert not at.closed
        assert "before the handshake" in repr(at)
