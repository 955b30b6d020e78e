"""UNIX datagram sockets, raw sockets, wrong arguments."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socket2 import RAW, UDP, Cancelled, Closed, newthread, raw, sleep, udp, unix
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, ROOT, run
from . import test_udp
from .test_udp import needs_abstract, needs_root, needs_unix

a = test_udp.a
b = test_udp.b
named = test_udp.named


# UNIX datagram sockets.


@needs_unix
def test_unix_datagrams_between_paths(tmp_path: Path) -> None:
    async def main() -> None:
        with unix("dgram") as a, unix("dgram") as b:
            a.bind(str(tmp_path / "a"))
            b.bind(bytes(tmp_path / "b"))
            await a.sendto(b"hello", str(tmp_path / "b"))
            assert await b.recvfrom(100) == (b"hello", str(tmp_path / "a"))
            await b.connect(str(tmp_path / "a"))
            await b.send(b"")
            await b.send(b"back")
            assert [await a.recv(100), await a.recv(100)] == [b"", b"back"]

    run(main)


@needs_unix
@needs_abstract
def test_unix_datagrams_between_abstract_addresses() -> None:
    async def main() -> None:
        with unix("dgram") as a, unix("dgram") as b:
            name = f"\0socket2 test {os.getpid()}"
            a.bind(name)
            await b.sendto(b"hello", name)
            data, address = await a.recvfrom(100)
            assert data == b"hello"
            assert not address  # the sender has no address
            assert repr(a) == f"<UDP fd {a.fileno()}, unix @{name[1:]}>"

    run(main)


@needs_unix
def test_a_unix_datagram_to_nowhere_is_an_error_of_that_datagram(tmp_path: Path) -> None:
    async def main() -> None:
        with unix("dgram") as a:
            with pytest.raises(FileNotFoundError):
                await a.sendto(b"hello", str(tmp_path / "nowhere"))
            left = str(tmp_path / "left")
            with unix("dgram") as gone:
                gone.bind(left)
            with pytest.raises(ConnectionRefusedError):
                await a.sendto(b"hello", left)

    run(main)


@needs_unix
def test_senders_to_a_full_unix_socket_wait_their_turn_and_lose_nothing(tmp_path: Path) -> None:
    sent: list[int] = []

    async def send(a: UDP, n: int) -> None:
        await a.send(b"%d" % n)
        sent.append(n)

    async def main() -> None:
        with unix("dgram") as a, unix("dgram") as b:
            b.bind(str(tmp_path / "b"))
            await a.connect(str(tmp_path / "b"))
            senders = [newthread(send, a, n) for n in range(2000)]
            assert len(sent) < 2000  # the receiver's queue is full
            assert [await b.recv(100) for _ in range(2000)] == [b"%d" % n for n in range(2000)]
            for sender in senders:
                await sender.join()

    run(main)
    assert sent == list(range(2000))


@needs_unix
def test_a_sender_to_a_full_unix_socket_can_be_cancelled_and_its_datagram_is_not_sent(tmp_path: Path) -> None:
    async def flood(a: UDP) -> None:
        for n in range(100_000):
            await a.send(b"%d" % n)

    async def send_last(a: UDP) -> None:
        await a.send(b"last")

    async def main() -> None:
        with unix("dgram") as a, unix("dgram") as b:
            b.bind(str(tmp_path / "b"))
            await a.connect(str(tmp_path / "b"))
            flooding = newthread(flood, a)
            while not current_scheduler().poller.stats().parked:
                await sleep(0)
            impatient = newthread(flood, a)
            for thread in (flooding, impatient):
                thread.cancel()
                with pytest.raises(Cancelled):
                    await thread.join()
            ending = newthread(send_last, a)
            got = []
            while (data := await b.recv(100)) != b"last":
                got.append(data)
            assert got == [b"%d" % n for n in range(len(got))]
            await ending.join()

    run(main)


# Raw sockets.


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(sequence: int) -> bytes:
    body = struct.pack("!HH", os.getpid() & 0xFFFF, sequence) + b"sixteen octets.."
    return struct.pack("!BBH", 8, 0, checksum(b"\x08\0" + body)) + body


async def echo_reply(sock: RAW, sequence: int) -> Any:
    """Receive until our reply comes. Return its sender. Other packets of this machine arrive here as well."""
    while True:
        packet, address = await sock.recvfrom(100)
        if packet[20:22] == b"\0\0" and packet[24:] == echo_request(sequence)[4:]:  # after the IP header
            return address


@needs_root
def test_a_raw_socket_pings_this_machine() -> None:
    async def main() -> None:
        with raw("inet", "icmp") as sock:
            assert isinstance(sock, RAW)
            assert (sock.type, sock.protocol, sock.family) == ("raw", "icmp", "inet")
            assert await sock.sendto(echo_request(1), ("127.0.0.1", 0)) == len(echo_request(1))
            assert await echo_reply(sock, 1) == ("127.0.0.1", 0)

    run(main)


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "peer.test"])
def test_a_raw_sockets_destination_may_be_a_name_and_has_no_port(named: list[threading.Thread], host: str) -> None:
    async def main() -> None:
        with raw("inet", "icmp") as sock:
            await sock.sendto(echo_request(1), host)
            assert await echo_reply(sock, 1) == ("127.0.0.1", 0)
            await sock.connect(host)
            await sock.send(echo_request(2))
            assert await echo_reply(sock, 2) == ("127.0.0.1", 0)

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no privileges to drop")
def test_a_raw_socket_without_the_right_to_is_a_permission_error() -> None:
    program = "\n".join(
        [
            "import os, socket2",
            "if os.geteuid() == 0: os.setuid(65534)",
            "try: socket2.raw('inet', 'icmp')",
            "except PermissionError: print('refused')",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "SOCKET2_POLLER"},  # there may be only one
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


# Wrong arguments, and sockets that are closed.


def test_wrong_lengths_are_refused_when_they_are_given(b: UDP) -> None:
    for receive_some in (b.recv, b.recvfrom):
        with pytest.raises(ValueError, match="-1"):
            receive_some(-1)
    for receive_into in (b.recv_into, b.recvfrom_into):
        with pytest.raises(ValueError, match="-1"):
            receive_into(bytearray(4), -1)
        with pytest.raises(ValueError, match="4 bytes"):
            receive_into(bytearray(4), 5)


WRONG: dict[str, Callable[[UDP], Any]] = {
    "a length that is text": lambda b: b.recv("5"),  # type: ignore[arg-type]
    "a length that is no integer": lambda b: b.recv(1.5),  # type: ignore[arg-type]
    "no length": lambda b: b.recv(None),  # type: ignore[arg-type]
    "a constant buffer": lambda b: b.recv_into(b"constant"),
    "a buffer that is text": lambda b: b.recv_into("text"),  # type: ignore[arg-type]
    "a buffer that is a number": lambda b: b.recvfrom_into(5),  # type: ignore[arg-type]
    "text to send": lambda b: b.send("text", "127.0.0.1", 9),  # type: ignore[arg-type]
    "text to send to a tuple": lambda b: b.sendto("text", ("127.0.0.1", 9)),  # type: ignore[arg-type]
    "nothing to send": lambda b: b.sendto(None, "127.0.0.1", 9),  # type: ignore[arg-type]
    "a host that is a number": lambda b: b.sendto(b"x", 5, 9),  # type: ignore[arg-type]
    "a peer that is a number": lambda b: b.connect(5),  # type: ignore[arg-type]
    "a port that is no integer": lambda b: b.sendto(b"x", "127.0.0.1", 1.5),  # type: ignore[arg-type]
    "an address without a port": lambda b: b.sendto(b"x", ("127.0.0.1",)),
    "an empty address": lambda b: b.sendto(b"x", ()),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_arguments_of_a_wrong_type_are_type_errors_and_the_socket_is_well(
    a: UDP, b: UDP, wrong: Callable[[UDP], Any]
) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            await wrong(b)
        await a.sendto(b"hello", *b.getsockname())
        assert await b.recv(100) == b"hello"

    run(main)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_an_overflow(b: UDP, port: int) -> None:
    with pytest.raises(OverflowError):
        b.sendto(b"x", "127.0.0.1", port)
    with pytest.raises(OverflowError):
        b.connect("127.0.0.1", port)

    async def main() -> None:
        with pytest.raises(OverflowError):
            await b.sendto(b"x", ("127.0.0.1", port))

    run(main)


def test_an_unknown_kind_of_socket_is_a_value_error() -> None:
    for make in (udp, raw):
        with pytest.raises(ValueError, match="expected one of"):
            make("ipx")
    with pytest.raises(ValueError, match="expected one of"):
        unix("ipx")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="expected one of"):
        udp("inet", "nope")


def test_a_datagram_socket_can_be_taken_over_and_given_back(a: UDP) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as std:
        std.bind(("127.0.0.1", 0))
        std.settimeout(LIMIT_S)

        async def main() -> None:
            taken = udp(fileno=std.fileno())
            assert (taken.type, taken.family, taken.getsockname()) == ("udp", "inet", std.getsockname())
            await a.sendto(b"hello", *std.getsockname())
            assert await taken.recv(100) == b"hello"
            assert taken.detach() == std.fileno()
            assert taken.closed

        run(main)
        assert std.getsockname()[0] == "127.0.0.1"  # it is still open


def test_a_descriptor_of_another_kind_is_refused_and_stays_open() -> None:
    with socket.socket() as stream:
        for wrong in (udp, raw):
            with pytest.raises(ValueError, match=f"descriptor {stream.fileno()} is no"):
                wrong(fileno=stream.fileno())
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM


OPERATIONS: dict[str, Callable[[UDP], Any]] = {
    "recv": lambda b: b.recv(1),
    "recv_into": lambda b: b.recv_into(bytearray(1)),
    "recvfrom": lambda b: b.recvfrom(1),
    "recvfrom_into": lambda b: b.recvfrom_into(bytearray(1)),
    "send": lambda b: b.send(b"x"),
    "sendto": lambda b: b.sendto(b"x", "127.0.0.1", 9),
    "sendto a tuple": lambda b: b.sendto(b"x", ("127.0.0.1", 9)),
    "connect": lambda b: b.connect("127.0.0.1", 9),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_every_operation_on_a_closed_socket_raises_closed(a: UDP, operation: Callable[[UDP], Any], used: bool) -> None:
    async def main() -> None:
        if used:
            await a.sendto(b"", *a.getsockname())
            await a.recv(1)
        a.close()
        with pytest.raises(Closed):
            await operation(a)

    run(main)
