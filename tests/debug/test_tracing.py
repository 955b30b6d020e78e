"""What a trace of a socket shows, and that it changes nothing else."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Generator
from typing import Any

import pytest

from socket2 import Busy, Cancelled, Closed, debug, newthread, run, sleep, tcp, udp

from .test_debug import pair

Steps = Generator[Any, None, Any]


def told(out: io.StringIO) -> list[str]:
    """Return the trace, without times and addresses."""
    text = re.sub(r"(?m)^\d\d:\d\d:\d\d\.\d{6} \S+( <> \S+)?: ", "", out.getvalue())
    return [re.sub(r":\d+", ":PORT", line) for line in text.splitlines()]


def test_what_is_sent_and_received_is_shown() -> None:
    out = io.StringIO()
    with pair() as (conn, peer):

        def main() -> Steps:
            debug.trace(conn, out)
            yield from conn.sendall(b"GET / HTTP/1.1\r\n\r\n")
            yield from peer.recv(100)
            assert (yield from conn.send(memoryview(b"\x00\xff"))) == 2
            yield from peer.recv(100)
            yield from peer.sendall(b"hello")
            assert (yield from conn.recv(100)) == b"hello"
            yield from peer.sendall(b"again")
            buffer = bytearray(b"----------")
            assert (yield from conn.recv_into(buffer)) == 5
            assert buffer == b"again-----"
            peer.close()
            assert (yield from conn.recv(100)) == b""

        here, there = ("{}:{}".format(*end.getsockname()) for end in (conn, peer))
        run(main)
        assert re.match(r"\d\d:\d\d:\d\d\.\d{6} ", out.getvalue())
        assert out.getvalue()[15:].startswith(f" {here} <> {there}: sent 18 bytes\n")
    assert told(out) == [
        "sent 18 bytes",
        "    0000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..",
        "    0010  0d 0a                                            ..",
        "sent 2 bytes",
        "    0000  00 ff                                            ..",
        "received 5 bytes",
        "    0000  68 65 6c 6c 6f                                   hello",
        "received 5 bytes",
        "    0000  61 67 61 69 6e                                   again",
        "received the end of the stream",
        "closed",
    ]


def test_of_long_pieces_the_beginning_is_shown() -> None:
    out = io.StringIO()
    with pair() as (conn, _):

        def main() -> Steps:
            with debug.trace(conn, out, max_bytes=4):
                yield from conn.sendall(b"0123456789")

        run(main)
    assert told(out) == ["sent 10 bytes", "    0000  30 31 32 33" + " " * 38 + "0123", "    ... and 6 more"]


def test_errors_and_cancels_are_shown_and_passed_on() -> None:
    out = io.StringIO()
    with pair() as (conn, _):

        def reader() -> Steps:
            yield from conn.recv(1)

        def main() -> Steps:
            with debug.trace(conn, out):
                conn.settimeout(0.001, "read")
                with pytest.raises(TimeoutError):
                    yield from conn.recv(1)
                conn.settimeout(None)
                thread = newthread(reader, name="reader")
                with pytest.raises(Busy):
                    yield from conn.recv(1)
                thread.cancel()
                with pytest.raises(Cancelled):
                    yield from thread.join()
                conn.settimeout(0.01, "write")
                with pytest.raises(TimeoutError) as caught:
                    yield from conn.sendall(bytes(50_000_000))
                assert 0 < getattr(caught.value, "bytes_sent") < 50_000_000  # noqa: B009
                conn.close()
                with pytest.raises(Closed):
                    yield from conn.recv(1)

        run(main)
    lines = [line for line in told(out) if not line.startswith("    ")]
    assert lines[0] == "recv: Cancelled: timed out"
    assert lines[1].startswith("recv: Busy: ")
    assert lines[2] == "recv: Cancelled: reader was cancelled"
    assert re.fullmatch(r"sent \d+ bytes", lines[3])
    assert lines[4] == "sendall: Cancelled: timed out"
    assert lines[5] == "closed"
    assert lines[6].startswith("recv: Closed: ")
    assert len(lines) == 7


def test_after_its_end_nothing_is_shown() -> None:
    out = io.StringIO()
    with pair() as (conn, peer):

        def main() -> Steps:
            with debug.trace(conn, out):
                pass
            yield from conn.sendall(b"x")
            yield from peer.sendall(b"y")
            assert (yield from conn.recv(1)) == b"y"

        run(main)
    assert out.getvalue() == ""


def test_other_sockets_are_not_shown() -> None:
    out = io.StringIO()
    with pair() as (conn, peer):

        def main() -> Steps:
            with debug.trace(conn, out):
                yield from peer.sendall(b"y")

        run(main)
    assert out.getvalue() == ""


def test_connecting_and_accepting() -> None:
    out = io.StringIO()

    def main() -> Steps:
        with tcp() as listener, tcp() as client:
            listener.listen("127.0.0.1")
            debug.trace(listener, out)
            debug.trace(client, out)
            yield from client.connect(*listener.getsockname())
            with (yield from listener.accept()) as conn:
                yield from conn.sendall(b"not shown")

    run(main)
    assert sorted(told(out)) == ["accepted 127.0.0.1:PORT", "closed", "closed", "connected to 127.0.0.1:PORT"]


def test_datagrams() -> None:
    out = io.StringIO()

    def main() -> Steps:
        with udp() as one, udp() as other:
            one.bind("127.0.0.1")
            other.bind("127.0.0.1")
            debug.trace(one, out)
            yield from one.sendto(b"ping", *other.getsockname())
            yield from other.sendto(b"pong", *one.getsockname())
            assert (yield from one.recvfrom(100))[0] == b"pong"

    run(main)
    assert [line for line in told(out) if "  " not in line] == [
        "datagram of 4 bytes to 127.0.0.1:PORT",
        "datagram of 4 bytes from 127.0.0.1:PORT",
        "closed",
    ]


def test_a_trace_that_cannot_be_written_ends_nothing() -> None:
    class Broken:
        def write(self, text: str) -> None:
            raise OSError("full")

    with pair() as (conn, peer):

        def main() -> Steps:
            debug.trace(conn, Broken())
            yield from conn.sendall(b"x")
            assert (yield from peer.recv(1)) == b"x"

        run(main)


def test_a_closed_socket_cannot_be_traced() -> None:
    sock = tcp()
    sock.close()
    with pytest.raises(Closed):
        debug.trace(sock)


def test_what_the_socket_tells_about_itself_is_the_same() -> None:
    with pair() as (conn, _):

        def main() -> Steps:
            before = (conn.fileno(), conn.getsockname(), conn.getpeername(), repr(conn), conn.type, conn.family)
            with debug.trace(conn, io.StringIO()):
                assert before == (
                    conn.fileno(),
                    conn.getsockname(),
                    conn.getpeername(),
                    repr(conn),
                    conn.type,
                    conn.family,
                )
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            yield from sleep(0)

        run(main)
