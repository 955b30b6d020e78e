"""The TFTP server, against curl, and packets by hand."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ..interop.curl import command
from ..interop.peers import LIMIT_S, Program, beside, call, pattern, python
from .running import EXAMPLES, server

NAME = "tftp_server.py"
RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
SIZES = [0, 1, 511, 512, 513, 300_000]


@contextmanager
def tftp(directory: Path, *args: str) -> Iterator[tuple[Program, int]]:
    with server(NAME, *args, str(directory)) as (program, port):
        yield program, port


class Client:
    """A client that sends and expects packets."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._transfer = self._server
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.settimeout(LIMIT_S)
        self._sock.bind(("127.0.0.1", 0))

    def asks(self, kind: int, name: bytes, *options: bytes, mode: bytes = b"octet") -> None:
        packet = struct.pack("!H", kind) + b"".join(part + b"\0" for part in (name, mode, *options))
        self._sock.sendto(packet, self._server)

    def sends_raw(self, packet: bytes) -> None:
        self._sock.sendto(packet, self._server)

    def sends(self, kind: int, number: int, data: bytes = b"") -> None:
        self._sock.sendto(struct.pack("!HH", kind, number) + data, self._transfer)

    def gets(self) -> tuple[int, int, bytes]:
        """Return the next packet: its kind, its number, and its data."""
        packet, self._transfer = self._sock.recvfrom(70_000)
        if packet[:2] == struct.pack("!H", OACK):
            return OACK, 0, packet[2:]
        return *struct.unpack_from("!HH", packet), packet[4:]

    def hears_nothing(self) -> bool:
        """Whether there is nothing to receive at this moment."""
        self._sock.setblocking(False)
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self._sock.settimeout(LIMIT_S)

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refused(port: int, kind: int, name: bytes, *options: bytes, mode: bytes = b"octet") -> int:
    """Return the code of the error that answers a request."""
    with Client(port) as client:
        client.asks(kind, name, *options, mode=mode)
        answer, code, text = client.gets()
        assert (answer, text[-1:]) == (ERROR, b"\0")
        return code


# curl.


@pytest.mark.parametrize("options", [[], ["--tftp-blksize", "8"], ["--tftp-blksize", "1400"], ["--tftp-no-options"]])
def test_curl_reads(tmp_path: Path, options: list[str]) -> None:
    sizes = [8, 5000] if "8" in options else SIZES if "--tftp-no-options" in options else SIZES[1:]
    with tftp(tmp_path) as (_, port):
        for size in sizes:  # with options, curl 7.88 fails if the size is 0
            (tmp_path / "file").write_bytes(pattern(size, size))
            assert call(command(*options, f"tftp://127.0.0.1:{port}/file")).stdout == pattern(size, size)


@pytest.mark.parametrize("options", [[], ["--tftp-blksize", "1400"], ["--tftp-no-options"]])
def test_curl_writes(tmp_path: Path, options: list[str]) -> None:
    given = tmp_path / "given"
    (root := tmp_path / "root").mkdir()
    with tftp(root, "--write") as (_, port):
        for size in SIZES[1:]:
            given.write_bytes(pattern(size, size))
            call(command(*options, "-T", str(given), f"tftp://127.0.0.1:{port}/{size}"))
            assert (root / str(size)).read_bytes() == pattern(size, size)
    assert len(list(root.iterdir())) == len(SIZES[1:])


def test_more_blocks_than_numbers(tmp_path: Path) -> None:
    data = pattern(1, 65_600 * 8)
    (tmp_path / "file").write_bytes(data)
    with tftp(tmp_path) as (_, port):
        read = command("--max-time", "90", "--tftp-blksize", "8", f"tftp://127.0.0.1:{port}/file")
        assert call(read, limit_s=100).stdout == data


def test_many_clients_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pattern(1, 300_000))
    with tftp(tmp_path) as (_, port), ExitStack() as stack:
        url = f"tftp://127.0.0.1:{port}/file"
        reading = [stack.enter_context(beside(call, command(url))) for _ in range(10)]
        assert all(one.outcome().stdout == pattern(1, 300_000) for one in reading)


# Packets by hand.


def test_options(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 20)
    with tftp(tmp_path) as (_, port), Client(port) as client:
        client.asks(RRQ, b"/file", b"BLKSIZE", b"16", b"tsize", b"0", b"timeout", b"200", b"windowsize", b"4")
        assert client.gets() == (OACK, 0, b"blksize\x0016\0tsize\x0020\0timeout\x00200\0")
        client.sends(ACK, 0)
        assert client.gets() == (DATA, 1, b"x" * 16)
        client.sends(ACK, 1)
        assert client.gets() == (DATA, 2, b"x" * 4)
        client.sends(ACK, 2)


def test_options_that_make_no_sense_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for options in ([b"blksize", b"7"], [b"blksize", b"-1"], [b"blksize"], [b"timeout", b"0"], [b"tsize", b"9" * 30]):
        with tftp(tmp_path) as (_, port), Client(port) as client:
            client.asks(RRQ, b"file", *options)
            assert client.gets() == (DATA, 1, b"x")
            client.sends(ACK, 1)


def test_a_lost_packet_is_sent_again_and_a_double_one_is_not_answered(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 600)
    with tftp(tmp_path, "--timeout", "0.3") as (_, port), Client(port) as client:
        client.asks(RRQ, b"file")
        assert client.gets()[:2] == (DATA, 1)
        assert client.gets()[:2] == (DATA, 1)  # again, because nothing was acknowledged
        client.asks(RRQ, b"file")  # begins no second transfer
        client.sends(ACK, 0)
        client.sends(ACK, 1)
        client.sends(ACK, 1)
        assert client.gets() == (DATA, 2, b"x" * 88)
        assert client.hears_nothing()
        client.sends(ACK, 2)


def test_a_client_that_is_silent_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with tftp(tmp_path, "--timeout", "0.05") as (program, port), Client(port) as client:
        client.asks(RRQ, b"file")
        assert [client.gets()[:2] for _ in range(5)] == [(DATA, 1)] * 5
        program.announced("no answer$")
        assert client.hears_nothing()


def test_an_error_of_the_client_ends_a_transfer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with tftp(tmp_path) as (program, port), Client(port) as client:
        client.asks(RRQ, b"file")
        assert client.gets()[:2] == (DATA, 1)
        client.sends(ERROR, 3, b"disk full\0")
        program.announced("disk full$")


def test_a_file_is_taken_when_it_is_complete(tmp_path: Path) -> None:
    with tftp(tmp_path, "--write", "--timeout", "0.2") as (program, port), Client(port) as client:
        client.asks(WRQ, b"new", b"blksize", b"8", b"tsize", b"10")
        assert client.gets()[:2] == (OACK, 0)
        client.sends(DATA, 1, b"12345678")
        assert client.gets()[:2] == (ACK, 1)
        assert not (tmp_path / "new").exists()
        client.sends(DATA, 2, b"90")
        assert client.gets()[:2] == (ACK, 2)
        assert (tmp_path / "new").read_bytes() == b"1234567890"
        client.sends(DATA, 2, b"90")  # the last answer was lost
        assert client.gets()[:2] == (ACK, 2)
        assert refused(port, WRQ, b"new") == 6
        client.asks(WRQ, b"half", b"blksize", b"8")  # the same client, once the first transfer is over
        while client.hears_nothing():
            client.asks(WRQ, b"half", b"blksize", b"8")
        program.announced("no answer$")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_two_that_write_one_file(tmp_path: Path) -> None:
    with tftp(tmp_path, "--write") as (_, port), Client(port) as one, Client(port) as two:
        for client in (one, two):
            client.asks(WRQ, b"new")
            assert client.gets() == (ACK, 0, b"")
        one.sends(DATA, 1, b"one")
        assert one.gets() == (ACK, 1, b"")
        two.sends(DATA, 1, b"two")
        assert two.gets()[:2] == (ERROR, 6)
    assert (tmp_path / "new").read_bytes() == b"one"


def test_refusals(tmp_path: Path) -> None:
    (root := tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "directory").mkdir()
    (root / "file").write_bytes(b"")
    outside = [b"../secret", b"/../secret", b"directory/../../secret", os.fsencode(tmp_path / "secret")]
    others: list[bytes] = []
    if hasattr(os, "mkfifo"):
        (root / "link").symlink_to(tmp_path / "secret")
        (root / "loop").symlink_to(root / "loop")
        os.mkfifo(root / "fifo")
        outside += [b"link"]
        others = [b"fifo", b"loop"]
    with tftp(root) as (_, port):
        assert {refused(port, RRQ, name) for name in outside} <= {1, 2}
        assert {refused(port, RRQ, name) for name in [b"none", b"directory", b"x" * 400, *others]} == {1}
        assert [refused(port, RRQ, b"file", mode=mode) for mode in (b"netascii", b"mail", b"x", b"")] == [4] * 4
        assert refused(port, WRQ, b"new") == 2
        assert refused(port, RRQ, b"") == 4
    with tftp(root, "--write", "--size", "1000") as (_, port):
        assert refused(port, WRQ, b"file") == 6
        assert refused(port, WRQ, b"none/new") == 1
        assert refused(port, WRQ, b"../new") == 2
        assert refused(port, WRQ, b"new", b"tsize", b"1001") == 3
        with Client(port) as client:
            client.asks(WRQ, b"new", b"blksize", b"1001")
            assert client.gets()[:2] == (OACK, 0)
            client.sends(DATA, 1, bytes(1001))
            assert client.gets()[:2] == (ERROR, 3)
    assert not (root / "new").exists()


def test_what_is_no_request_is_not_answered(tmp_path: Path) -> None:
    """And a request is not answered as long as there is no room for it."""
    (tmp_path / "file").write_bytes(b"x" * 600)
    with tftp(tmp_path, "--transfers", "1") as (_, port), Client(port) as client, Client(port) as second:
        for packet in (b"", b"\0", b"\0\3\0\1x", b"\0\5\0\0x\0", b"\0\4\0\0", b"\xff" * 2000):
            client.sends_raw(packet)
        client.asks(RRQ, b"file")
        assert client.gets()[:2] == (DATA, 1)
        second.asks(RRQ, b"file")
        client.sends(ACK, 1)
        assert client.gets()[:2] == (DATA, 2)
        assert second.hears_nothing()
        client.sends(ACK, 2)
        while second.hears_nothing():
            second.asks(RRQ, b"file")
        second.sends(ERROR, 0)


# The end.


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM kills there")
def test_sigterm_lets_a_transfer_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 600)
    with python(EXAMPLES / NAME, "--port", "0", str(tmp_path)) as program, Client(program.port()) as client:
        client.asks(RRQ, b"file")
        assert client.gets()[:2] == (DATA, 1)
        program.send_signal(signal.SIGTERM)
        client.sends(ACK, 1)
        assert client.gets()[:2] == (DATA, 2)
        client.sends(ACK, 2)
        assert program.wait() == 0


def test_ctrl_c_while_busy(tmp_path: Path) -> None:
    with ExitStack() as clients:
        with tftp(tmp_path, "--write", "--grace", "0.1") as (_, port):
            client = clients.enter_context(Client(port))
            client.asks(WRQ, b"new")
            assert client.gets()[:2] == (ACK, 0)
            client.sends(DATA, 1, bytes(512))
            assert client.gets()[:2] == (ACK, 1)
    assert not list(tmp_path.iterdir())


def test_bad_arguments(tmp_path: Path) -> None:
    with python(EXAMPLES / NAME, str(tmp_path / "none")) as program:
        assert program.wait() == 2
        assert b"is not a directory" in program.stderr()
