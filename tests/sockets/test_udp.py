"""Datagrams: UDP, UNIX datagram sockets, raw sockets."""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import RAW, UDP, Cancelled, Closed, Thread, addr, newthread, raw, sleep, timeout, udp, unix
from socket2.threads import osthreads
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, ROOT, free_refusing_ports, refusing_port, run
from ..machine import needs_ipv6

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
needs_abstract = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract addresses are Linux's")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a raw socket needs root")


@pytest.fixture
def a() -> Iterator[UDP]:
    with udp() as sock:
        sock.bind("127.0.0.1")
        yield sock


@pytest.fixture
def b() -> Iterator[UDP]:
    with udp() as sock:
        sock.bind("127.0.0.1")
        yield sock


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """Make the host "peer.test", which is this machine. The value lists the OS threads that have looked it up."""
    really = socket.getaddrinfo
    os_threads: list[threading.Thread] = []

    def getaddrinfo(host: Any, port: Any, family: int, kind: int, protocol: int, flags: int) -> Any:
        if host == "peer.test" and not flags & socket.AI_NUMERICHOST:
            os_threads.append(threading.current_thread())
            host = "127.0.0.1"
        return really(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield os_threads
    monkeypatch.setattr(osthreads, "IDLE_S", 0)
    osthreads.lookups.end()
    for os_thread in threading.enumerate():
        if os_thread.name == "socket2 look-up":
            os_thread.join(LIMIT_S)


def refusing() -> int:
    """Return a port that refuses for the rest of the test."""
    return refusing_port(kind=socket.SOCK_DGRAM)


async def receive(sock: UDP, n: int = 100) -> bytes:
    return await sock.recv(n)


# To and fro.


def test_a_datagram_arrives_with_its_senders_address(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(b"hello", *b.getsockname()) == 5
        assert await b.recvfrom(100) == (b"hello", a.getsockname())

    run(main)


def test_the_operations_can_be_yielded_from(a: UDP, b: UDP) -> None:
    def main() -> Generator[Any, None, tuple[bytes, Any]]:
        yield from a.connect(*b.getsockname())
        yield from a.send(b"hello")
        return (yield from b.recvfrom(100))

    assert socket2.run(main) == (b"hello", a.getsockname())


def test_a_receiver_that_waits_gets_what_comes(a: UDP, b: UDP) -> None:
    async def main() -> bytes:
        receiver = newthread(receive, b)
        assert not receiver.done
        await a.sendto(b"hello", *b.getsockname())
        data: bytes = await receiver.join()
        return data

    assert run(main) == b"hello"


@pytest.mark.parametrize("data", [bytearray(b"hello"), memoryview(b"_hello_")[1:-1], array.array("B", b"hello")])
def test_any_buffer_can_be_sent(a: UDP, b: UDP, data: Any) -> None:
    async def main() -> None:
        assert await a.sendto(data, *b.getsockname()) == 5
        await a.connect(*b.getsockname())
        assert await a.send(data) == 5
        assert [await b.recv(100), await b.recv(100)] == [b"hello", b"hello"]

    run(main)


def test_a_buffer_is_counted_in_bytes(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(array.array("I", [1, 2, 3]), *b.getsockname()) == 12
        into = array.array("I", [0, 0, 0, 9])
        assert await b.recv_into(into) == 12
        assert list(into) == [1, 2, 3, 9]

    run(main)


def test_a_datagram_goes_into_a_buffer(a: UDP, b: UDP) -> None:
    async def main() -> None:
        for _ in range(4):
            await a.sendto(b"hello", *b.getsockname())
        buffer = bytearray(b"........")
        assert await b.recv_into(buffer) == 5
        assert buffer == b"hello..."
        buffer = bytearray(b"........")
        assert await b.recv_into(buffer, 3) == 3
        assert buffer == b"hel....."
        buffer = bytearray(b"........")
        assert await b.recvfrom_into(buffer) == (5, a.getsockname())
        assert buffer == b"hello..."
        buffer = bytearray(b"........")
        assert await b.recvfrom_into(memoryview(buffer)[1:], 3) == (3, a.getsockname())
        assert buffer == b".hel...."

    run(main)


def test_a_connected_socket_sends_to_its_peer_and_receives_from_nobody_else(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.connect(*b.getsockname())
        assert a.getpeername() == b.getsockname()
        assert await a.send(b"hello") == 5
        assert await b.recvfrom(100) == (b"hello", a.getsockname())
        with udp() as stranger:
            await stranger.sendto(b"from a stranger", *a.getsockname())
            await b.sendto(b"from the peer", *a.getsockname())
            assert await a.recv(100) == b"from the peer"

    run(main)


def test_a_socket_can_be_connected_again(a: UDP, b: UDP) -> None:
    async def main() -> None:
        with udp() as first:
            first.bind("127.0.0.1")
            await a.connect(*first.getsockname())
        await a.connect(*b.getsockname())
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)


def test_an_unconnected_socket_has_no_peer_to_send_to(a: UDP) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r".") as caught:
            await a.send(b"hello")
        assert caught.value.errno == errno.EDESTADDRREQ

    run(main)


def test_a_socket_that_was_never_bound_gets_its_answers(b: UDP) -> None:
    async def main() -> None:
        with udp() as client:
            await client.sendto(b"ping", *b.getsockname())
            _, address = await b.recvfrom(100)
            await b.sendto(b"pong", "127.0.0.1", address[1])
            assert await client.recv(100) == b"pong"

    run(main)


@needs_ipv6
def test_inet6() -> None:
    async def main() -> None:
        with udp("inet6") as a, udp("inet6") as b:
            a.bind("::1")
            b.bind("::1")
            await a.sendto(b"hello", *b.getsockname()[:2])
            data, address = await b.recvfrom(100)
            assert (data, address) == (b"hello", a.getsockname())
            await b.sendto(b"back", address)  # all four parts of the address
            assert await a.recv(100) == b"back"

    run(main)


# Empty and long ones.


def test_empty_datagrams_come_and_go(a: UDP, b: UDP) -> None:
    async def main() -> None:
        assert await a.sendto(b"", *b.getsockname()) == 0
        assert await b.recvfrom(100) == (b"", a.getsockname())
        await a.connect(*b.getsockname())
        await b.connect(*a.getsockname())
        assert await a.send(b"") == 0
        assert await a.send(b"after") == 5
        assert [await b.recv(100), await b.recv(100)] == [b"", b"after"]
        assert await b.send(b"") == 0
        assert await a.recv_into(bytearray(8)) == 0
        assert await b.send(b"back") == 4
        assert await a.recv(100) == b"back"

    run(main)


def test_a_receiver_that_waits_is_woken_by_an_empty_datagram(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receiver = newthread(receive, b)
        await a.sendto(b"", *b.getsockname())
        assert await receiver.join() == b""

    run(main)


def test_a_datagram_is_cut_and_the_next_one_is_whole(a: UDP, b: UDP) -> None:
    async def main() -> None:
        for data in (b"0123456789", b"abcdefghij", b"next"):
            await a.sendto(data, *b.getsockname())
        assert await b.recv(4) == b"0123"
        assert await b.recvfrom(1) == (b"a", a.getsockname())
        assert await b.recv(100) == b"next"

    run(main)


def test_the_longest_datagram_arrives_whole(a: UDP, b: UDP) -> None:
    data = os.urandom(65507)  # the most that fits into IPv4

    async def main() -> None:
        assert await a.sendto(data, *b.getsockname()) == len(data)
        assert await b.recv(len(data) + 1) == data

    run(main)


def test_a_datagram_that_is_too_long_is_refused_and_the_socket_is_well(a: UDP, b: UDP) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r".") as caught:
            await a.sendto(bytes(70_000), *b.getsockname())
        assert caught.value.errno == errno.EMSGSIZE
        await a.sendto(b"short", *b.getsockname())
        assert await b.recv(100) == b"short"

    run(main)


# Destinations.


@pytest.mark.parametrize("send", [UDP.send, UDP.sendto])
def test_a_destination_is_anything_that_addr_takes(a: UDP, b: UDP, send: Callable[..., Any]) -> None:
    async def main() -> None:
        host, port = b.getsockname()
        found = await addr(host, port, "udp")
        destinations: list[tuple[Any, ...]] = [
            ("localhost", port),
            (b"localhost", port),
            (host, port),
            (host, str(port)),
            (False, port),
            (found,),
            (found[0],),
            (b.getsockname(),),
            (("localhost", port),),
        ]
        for destination in destinations:
            assert await send(a, b"hello", *destination) == 5
            assert await b.recv(100) == b"hello"

    run(main)


@pytest.mark.parametrize("how", [lambda port: ("peer.test", port), lambda port: (("peer.test", port),)])
def test_a_name_is_looked_up_in_an_os_thread(
    a: UDP, b: UDP, named: list[threading.Thread], how: Callable[[int], Any]
) -> None:
    async def main() -> None:
        assert await a.sendto(b"hello", *how(b.getsockname()[1])) == 5
        assert await b.recv(100) == b"hello"

    run(main)
    assert len(named) == 1
    assert named[0] is not threading.main_thread()


def test_a_socket_can_be_connected_to_a_name(a: UDP, b: UDP, named: list[threading.Thread]) -> None:
    async def main() -> None:
        await a.connect("peer.test", b.getsockname()[1])
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)
    assert named[0] is not threading.main_thread()


@pytest.mark.parametrize("destination", [("nosuchhost.invalid", 9), (("nosuchhost.invalid", 9),)])
def test_a_name_that_does_not_exist_fails_that_datagram_only(a: UDP, b: UDP, destination: Any) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await a.sendto(b"lost", *destination)
        await a.sendto(b"hello", *b.getsockname())
        assert await b.recv(100) == b"hello"

    run(main)


@pytest.mark.parametrize("to", ["<broadcast>", "255.255.255.255"])
def test_broadcasting_has_to_be_asked_for(a: UDP, to: str) -> None:
    """The address can be '<broadcast>', as in the standard library, or numeric."""

    async def main() -> None:
        with pytest.raises(PermissionError):
            await a.sendto(b"all", (to, 9))

    run(main)


# Several threads.


def test_receivers_take_turns_in_the_order_they_came(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(5)]
        for n in range(5):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2", b"3", b"4"]

    run(main)


def test_receivers_of_every_kind_stand_in_one_line(a: UDP, b: UDP) -> None:
    buffers = [bytearray(1), bytearray(1)]

    async def first() -> Any:
        return await b.recv_into(buffers[0])

    async def second() -> Any:
        return await b.recvfrom(1)

    async def third() -> Any:
        return await b.recvfrom_into(buffers[1])

    async def main() -> None:
        receivers = [newthread(func) for func in (first, second, third, partial(receive, b))]
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        sender = a.getsockname()
        assert [await receiver.join() for receiver in receivers] == [1, (b"1", sender), (1, sender), b"3"]
        assert buffers == [b"0", b"2"]

    run(main)


def test_receivers_that_come_back_for_more_share_fairly(a: UDP, b: UDP) -> None:
    taken: list[str] = []

    async def take(name: str) -> None:
        for _ in range(3):
            await b.recv(1)
            taken.append(name)

    async def main() -> None:
        receivers = [newthread(take, name) for name in "xyz"]
        for _ in range(9):
            await a.sendto(b".", *b.getsockname())
            await sleep(0)
        for receiver in receivers:
            await receiver.join()

    run(main)
    assert "".join(taken) == "xyzxyzxyz"


@pytest.mark.parametrize("leaver", [0, 1, 2, 3], ids=["first", "second", "third", "last"])
def test_a_cancelled_receiver_takes_no_datagram_from_the_others(a: UDP, b: UDP, leaver: int) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(4)]
        receivers[leaver].cancel()
        with pytest.raises(Cancelled):
            await receivers.pop(leaver).join()
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2"]
        assert await b.recv(100) == b"3"

    run(main)


@pytest.mark.parametrize("leaver", [0, 1, 2, 3], ids=["first", "second", "third", "last"])
def test_a_receiver_out_of_time_takes_no_datagram_from_the_others(a: UDP, b: UDP, leaver: int) -> None:
    async def impatient() -> None:
        with timeout(0.005):
            await b.recv(100)

    async def main() -> None:
        funcs: list[Callable[[], Any]] = [partial(receive, b)] * 3
        funcs.insert(leaver, impatient)
        receivers = [newthread(func) for func in funcs]
        with pytest.raises(TimeoutError):
            await receivers.pop(leaver).join()
        for n in range(4):
            await a.sendto(str(n).encode(), *b.getsockname())
        assert [await receiver.join() for receiver in receivers] == [b"0", b"1", b"2"]
        assert await b.recv(100) == b"3"

    run(main)


def test_all_in_line_run_out_of_the_sockets_time_and_lose_nothing(a: UDP, b: UDP) -> None:
    async def main() -> None:
        b.settimeout(0.005, "read")
        receivers = [newthread(receive, b) for _ in range(3)]
        for receiver in receivers:
            with pytest.raises(TimeoutError):
                await receiver.join()
        await a.sendto(b"kept", *b.getsockname())
        assert await b.recv(100) == b"kept"

    run(main)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_a_receiver_that_goes_when_its_turn_has_come_hands_it_on(a: UDP, b: UDP, how: str) -> None:
    """The first has its datagram. It is the second's turn, and it is cancelled before it learns this."""
    second = receive(b)

    async def first() -> None:
        await b.recv(100)
        if how == "cancelled":
            threads[1].cancel()
        else:
            second.close()

    async def main() -> None:
        threads.extend(newthread(func) for func in (first, second, partial(receive, b)))
        await a.sendto(b"1", *b.getsockname())
        await threads[0].join()
        await a.sendto(b"2", *b.getsockname())
        assert await threads[2].join() == b"2"

    threads: list[Thread] = []
    run(main)
    assert threads[1].done


def test_closing_ends_the_wait_of_everybody_in_line(b: UDP) -> None:
    async def main() -> None:
        receivers = [newthread(receive, b) for _ in range(3)]
        b.close()
        for receiver in receivers:
            with pytest.raises(Closed):
                await receiver.join()

    run(main)


def test_receiving_and_sending_go_on_at_the_same_time(a: UDP, b: UDP) -> None:
    async def main() -> None:
        receiver = newthread(receive, a)
        await a.sendto(b"ping", *b.getsockname())
        assert await b.recv(100) == b"ping"
        await b.sendto(b"pong", *a.getsockname())
        assert await receiver.join() == b"pong"

    run(main)


# Refused ones.


def test_a_refused_datagram_is_told_by_the_next_receive_and_the_socket_is_well(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.connect("127.0.0.1", refusing())
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await a.recv(100)
        await a.connect(*b.getsockname())
        await a.send(b"hello")
        assert await b.recv(100) == b"hello"

    run(main)


def test_a_refused_datagram_is_told_by_the_next_send_and_only_once(a: UDP) -> None:
    async def main() -> None:
        port = refusing()
        await a.connect("127.0.0.1", port)
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await a.send(b"not sent")
        free_refusing_ports()
        with udp() as late:
            late.bind("127.0.0.1", port)
            await a.send(b"hello")
            assert await late.recv(100) == b"hello"

    run(main)


def test_a_receiver_that_waits_is_told_of_a_refusal(a: UDP) -> None:
    async def main() -> None:
        await a.connect("127.0.0.1", refusing())
        receiver = newthread(receive, a)
        await a.send(b"nobody is there")
        with pytest.raises(ConnectionRefusedError):
            await receiver.join()

    run(main)


def test_an_unconnected_socket_is_not_told_of_refusals(a: UDP, b: UDP) -> None:
    async def main() -> None:
        await a.sendto(b"nobody is there", "127.0.0.1", refusing())
        await a.sendto(b"hello", *b.getsockname())
        assert await b.recv(100) == b"hello"

    run(main)


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
