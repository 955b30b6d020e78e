"""TCP and UNIX stream sockets: both directions at once, and files."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from socket2 import TCP, Busy, Closed, newthread, run, tcp

from .test_tcp import pair

Steps = Generator[Any, Any, Any]


# Both directions.


def test_full_duplex() -> None:
    size = 3 << 20

    def writer(conn: TCP) -> Steps:
        yield from conn.sendall(bytes(size))
        conn.shutdown(socket.SHUT_WR)

    def reader(conn: TCP) -> Steps:
        got = 0
        while data := (yield from conn.recv(1 << 16)):
            got += len(data)
        return got

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            threads = [newthread(func, conn) for conn in (client, server) for func in (writer, reader)]
            outcomes = []
            for thread in threads:
                outcomes.append((yield from thread.join()))
            assert outcomes == [None, size, None, size]

    run(main)


def test_a_second_reader_is_busy_and_the_first_lives() -> None:
    def reader(conn: TCP) -> Steps:
        return (yield from conn.recv(10))

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            first = newthread(reader, server)
            with pytest.raises(Busy, match="reading this socket already"):
                yield from server.recv(10)
            yield from client.sendall(b"hello")
            assert (yield from first.join()) == b"hello"

    run(main)


def test_close_wakes_reader_and_writer() -> None:
    def reader(conn: TCP) -> Steps:
        with pytest.raises(Closed):
            yield from conn.recv(10)
        return "woken"

    def writer(conn: TCP) -> Steps:
        with pytest.raises(Closed):
            yield from conn.sendall(bytes(1 << 24))
        return "woken"

    def main() -> Steps:
        client, server = yield from pair()
        with client:
            threads = [newthread(reader, server), newthread(writer, server)]
            server.close()
            for thread in threads:
                assert (yield from thread.join()) == "woken"

    run(main)


def test_recv_into() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            buffer = bytearray(8)
            yield from client.sendall(b"0123456789")
            assert (yield from server.recv_into(buffer, 3)) == 3
            assert (yield from server.recv_into(memoryview(buffer)[3:])) == 5
            assert buffer == b"01234567"
            with pytest.raises(TypeError):
                server.recv_into(b"read only")

    run(main)


# Files.


def test_sendfile() -> None:
    data = os.urandom(2 << 20)

    def sender(conn: TCP, file: Any, offset: int, count: int | None) -> Steps:
        sent = yield from conn.sendfile(file, offset, count)
        conn.shutdown(socket.SHUT_WR)
        return sent, file.tell()

    def main() -> Steps:
        with tempfile.TemporaryFile() as real:
            real.write(data)
            real.flush()
            for file in (real, io.BytesIO(data)):
                for offset, count in ((0, None), (100, None), (5, 1000), (len(data), None)):
                    client, server = yield from pair()
                    with client, server:
                        sending = newthread(sender, client, file, offset, count)
                        got = bytearray()
                        while block := (yield from server.recv(1 << 16)):
                            got += block
                        expected = data[offset:] if count is None else data[offset : offset + count]
                        assert bytes(got) == expected
                        sent, position = yield from sending.join()
                        assert sent == len(expected)
                        assert not sent or position == offset + sent

    run(main)


def test_sendfile_refuses_what_the_standard_library_refuses(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with tcp() as sock, path.open() as text, path.open("rb") as binary:
        with pytest.raises(ValueError, match="binary"):
            sock.sendfile(text)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="positive"):
            sock.sendfile(binary, count=0)
        with pytest.raises(TypeError):
            sock.sendfile(binary, count=1.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="negative"):
            sock.sendfile(binary, offset=-1)
