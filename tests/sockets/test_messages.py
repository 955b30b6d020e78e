"""recvmsg() and sendmsg() over each poller: control data of packets, and what is the same as for other receives."""

from __future__ import annotations

import errno
import io
import socket
import struct
import sys
from typing import Any

import pytest

import pollers
from pollers import check_messages
from socket2 import Busy, Cancelled, Closed, PacketInfo, newthread, sleep, socketpair, tcp, timeout, udp, unix

from ..interop.peers import run
from ..machine import needs_ipv6
from .test_udp import needs_unix

pytestmark = [
    pytest.mark.usefixtures("poller"),
    pytest.mark.skipif(not hasattr(socket.socket, "recvmsg"), reason="this system has no recvmsg(2)"),
]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="this is about Linux")

FAMILIES = [("inet", "127.0.0.1"), pytest.param("inet6", "::1", marks=needs_ipv6)]


def loopback() -> int:
    return next(index for index, name in socket.if_nameindex() if name in ("lo", "lo0"))


@needs_linux
@pytest.mark.parametrize(("family", "here"), FAMILIES)
def test_where_a_datagram_arrived_and_what_the_packet_says(family: str, here: str) -> None:
    async def main() -> None:
        with udp(family) as server, udp(family) as client:
            server.bind(here, 0)
            for option in ("packet_info", "recv_ttl", "recv_tos"):
                assert server.getopt(option) is False
                server.setopt(option, True)
                assert server.getopt(option) is True
            waiting = newthread(server.recvmsg(100))
            assert await client.sendmsg(b"one", server.getsockname(), ttl=7, tos=0x2E) == 3
            message = await waiting.join()
            assert message.data == b"one"
            assert isinstance(message.address, tuple)
            assert message.address[:2] == (here, client.getsockname()[1])
            assert message.packet_info == PacketInfo(here, loopback(), here)
            assert (message.ttl, message.tos) == (7, 0x2E)
            assert not message.truncated
            assert not message.control_truncated
            assert message.fds == ()
            client.setopt("ttl", 9)
            client.setopt("tos", 0x10)
            assert (client.getopt("ttl"), client.getopt("tos")) == (9, 0x10)
            await client.sendto(b"two", server.getsockname())
            message = await server.recvmsg(100)
            assert (message.data, message.ttl, message.tos) == (b"two", 9, 0x10)
            await server.sendmsg([b"to ", b"you"], message.address, packet_info=message.packet_info)
            assert await client.recvfrom(100) == (b"to you", server.getsockname())
            server.setopt("packet_info", False)
            await client.sendto(b"three", server.getsockname())
            assert (await server.recvmsg(100)).packet_info is None

    run(main)


@needs_linux
def test_an_answer_comes_from_the_address_that_was_asked() -> None:
    async def main() -> None:
        with udp() as server, udp() as client:
            server.bind("0.0.0.0", 0)
            server.setopt("packet_info", True)
            port = server.getsockname()[1]
            client.bind("127.0.0.1", 0)
            await client.sendto(b"question", ("127.0.0.9", port))
            message = await server.recvmsg(100)
            assert message.packet_info is not None
            assert message.packet_info.destination == "127.0.0.9"
            await server.sendmsg(b"answer", message.address, packet_info=message.packet_info)
            assert await client.recvfrom(100) == (b"answer", ("127.0.0.9", port))
            other = PacketInfo("127.0.0.8")
            await server.sendmsg(b"of its own", "127.0.0.1", client.getsockname()[1], packet_info=other)
            assert await client.recvfrom(100) == (b"of its own", ("127.0.0.8", port))
            with pytest.raises(OSError, match=r"."):
                await server.sendmsg(b"x", client.getsockname(), packet_info=PacketInfo("192.0.2.1"))

    run(main)


def test_a_datagram_that_is_too_long_is_marked() -> None:
    async def main() -> None:
        with udp() as server, udp() as client:
            server.bind("127.0.0.1", 0)
            await client.connect(server.getsockname())
            await client.sendmsg([b"0123", bytearray(b"456"), memoryview(b"789")])
            await client.sendmsg(b"")
            message = await server.recvmsg(4)
            assert (message.data, message.truncated) == (b"0123", True)
            assert "4 bytes" in repr(message)
            assert "truncated" in repr(message)
            message = await server.recvmsg(4)
            assert (message.data, message.truncated) == (b"", False)

    run(main)


@needs_linux
def test_control_data_that_has_no_room_is_marked() -> None:
    async def main() -> None:
        with udp() as server, udp() as client:
            server.bind("127.0.0.1", 0)
            server.setopt("packet_info", True)
            for size in (0, 1, 8):
                await client.sendto(b"x", server.getsockname())
                message = await server.recvmsg(10, control_size=size)
                assert message.data == b"x"
                assert message.control_truncated
                assert message.packet_info is None

    run(main)


def test_a_stream_and_its_end() -> None:
    async def main() -> None:
        with tcp() as listener, tcp() as client:
            listener.listen(False)
            await client.connect(listener.getsockname())
            with await listener.accept() as server:
                waiting = newthread(server.recvmsg(3))
                assert await client.sendmsg([b"abc", b"", b"def"]) == 6
                message = await waiting.join()
                assert (message.data, message.ancillary, message.address) == (b"abc", [], None)
                assert (await server.recvmsg(100)).data == b"def"
                client.shutdown(socket.SHUT_WR)
                assert (await server.recvmsg(100)).data == b""
                assert await server.recv(100) == b""

    run(main)


def test_a_lost_connection_is_told_to_both_directions() -> None:
    async def main() -> None:
        with tcp() as listener, tcp() as client:
            listener.listen(False)
            await client.connect(listener.getsockname())
            with await listener.accept() as server:
                receiving = newthread(server.recvmsg(100))
                client.setopt("linger", 0)
                client.close()
                with pytest.raises(ConnectionResetError):
                    await receiving.join()
                with pytest.raises(ConnectionResetError):
                    await server.sendmsg(b"x")
                with pytest.raises(ConnectionError):
                    await server.sendmsg(b"x")

    run(main)


def test_a_stream_takes_what_there_is_room_for() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs:
            data, sent = bytes(range(256)) * 20_000, 0

            async def receive() -> bytes:
                got = b""
                while len(got) < len(data):
                    got += (await theirs.recvmsg(100_000)).data
                return got

            receiving = newthread(receive)
            while sent < len(data):
                sent += await ours.sendmsg([data[sent : sent + 1000], data[sent + 1000 :]])
            assert await receiving.join() == data

    run(main)


def test_more_buffers_than_the_system_takes_at_once() -> None:
    async def main() -> None:
        pieces = [b"%d," % n for n in range(5000)]
        ours, theirs = socketpair()
        with ours, theirs:
            sent = await ours.sendmsg(pieces)
            assert await theirs.recv(sent) == b"".join(pieces)[:sent]
            assert await ours.sendmsg([b""] * 5000 + [b"after empty ones"]) == 16
            assert await theirs.recv(sent) == b"after empty ones"
        here, there = socketpair("dgram")
        with here, there:
            assert await here.sendmsg(pieces) == len(b"".join(pieces))
            assert (await there.recvmsg(100_000)).data == b"".join(pieces)

    run(main)


def test_a_cancel_or_timeout_takes_nothing() -> None:
    async def main() -> None:
        for ours, theirs in (socketpair("stream"), socketpair("dgram")):
            with ours, theirs:
                waiting = newthread(theirs.recvmsg(10))
                waiting.cancel()
                with pytest.raises(Cancelled):
                    await waiting.join()
                with pytest.raises(TimeoutError), timeout(0.01):
                    await theirs.recvmsg(10)
                theirs.settimeout(0.01)
                with pytest.raises(TimeoutError):
                    await theirs.recvmsg(10)
                theirs.settimeout(None)
                waiting = newthread(theirs.recvmsg(10))
                await ours.sendmsg(b"x")
                waiting.cancel()  # successful or not: the message is delivered, or it is still there
                try:
                    message = await waiting.join()
                except Cancelled:
                    message = await theirs.recvmsg(10)
                assert message.data == b"x"
                waiting = newthread(theirs.recvmsg(10))
                theirs.close()
                with pytest.raises(Closed):
                    await waiting.join()
                with pytest.raises(Closed):
                    await theirs.recvmsg(10)

    run(main)


def test_who_may_receive() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs:
            waiting = newthread(theirs.recvmsg(10))
            for refused in (theirs.recvmsg(10), theirs.recv(10)):
                with pytest.raises(Busy):
                    await refused
            await ours.sendall(b"x")
            assert (await waiting.join()).data == b"x"
        here, there = socketpair("dgram")
        with here, there:
            first, second = newthread(there.recvmsg(10)), newthread(there.recv(10))
            third = newthread(there.recvmsg(10))
            for data in (b"1", b"2", b"3"):
                await here.send(data)
            assert [(await first.join()).data, await second.join(), (await third.join()).data] == [b"1", b"2", b"3"]

    run(main)


@needs_unix
def test_senders_to_a_full_receiver_wait_their_turn(tmp_path: Any) -> None:
    async def main() -> None:
        with unix("dgram") as receiver, unix("dgram") as sender, unix("dgram") as connected:
            receiver.bind(str(tmp_path / "r"))
            await connected.connect(str(tmp_path / "r"))
            for send in (lambda data: sender.sendmsg(data, str(tmp_path / "r")), connected.sendmsg):

                async def flood(send: Any = send) -> None:
                    for n in range(1000):
                        await send(b"%d" % n)

                flooding = newthread(flood)
                await sleep(0)
                assert not flooding.done
                assert [(await receiver.recvmsg(10)).data for _ in range(1000)] == [b"%d" % n for n in range(1000)]
                await flooding.join()

    run(main)


def test_a_refused_datagram() -> None:
    async def main() -> None:
        with udp() as gone, udp() as sock:
            gone.bind("127.0.0.1", 0)
            await sock.connect(gone.getsockname())
            gone.close()
            receiving = newthread(sock.recvmsg(10))
            await sock.sendmsg(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                await receiving.join()
            await sock.sendmsg(b"again")

    run(main)


def test_other_threads_run_meanwhile() -> None:
    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await sleep(0)

        ours, theirs = socketpair("dgram")
        with ours, theirs:
            running = newthread(other)
            for _ in range(1000):
                await ours.sendmsg(b"x")
                await theirs.recvmsg(1)
            running.cancel()
            with pytest.raises(Cancelled):
                await running.join()
            assert turns > 10

    run(main)


def test_mistakes() -> None:
    async def main() -> None:
        with udp() as sock, tcp() as stream, udp() as receiver:
            receiver.bind("127.0.0.1", 0)
            there = receiver.getsockname()
            wrong: list[tuple[Any, type[Exception]]] = [
                (lambda: sock.recvmsg(0), ValueError),
                (lambda: sock.recvmsg(1, max_fds=-1), ValueError),
                (lambda: sock.recvmsg(1, control_size=-1), ValueError),
                (lambda: sock.recvmsg("1"), TypeError),  # type: ignore[arg-type]
                (lambda: sock.sendmsg("text", there), TypeError),  # type: ignore[arg-type]
                (lambda: sock.sendmsg(["text"], there), TypeError),  # type: ignore[list-item]
                (lambda: sock.sendmsg(5, there), TypeError),  # type: ignore[arg-type]
                (lambda: sock.sendmsg(b"x", there, fds=[0]), ValueError),
                (lambda: sock.sendmsg(b"x", there, ttl=256), ValueError),
                (lambda: sock.sendmsg(b"x", there, tos=-1), ValueError),
                (lambda: sock.sendmsg(b"x", there, packet_info=PacketInfo("::1")), ValueError),
                (lambda: stream.sendmsg(b""), ValueError),
                (lambda: stream.sendmsg([]), ValueError),
                (lambda: stream.sendmsg(b"x", fds=[0]), ValueError),
                (lambda: stream.recvmsg(0), ValueError),
            ]
            for mistake, error in wrong:
                with pytest.raises(error):
                    mistake()
            with pytest.raises(OSError, match=r".") as failure:
                await sock.sendmsg(b"nowhere")
            assert failure.value.errno in (errno.EDESTADDRREQ, errno.ENOTCONN)
            with pytest.raises(OSError, match=r"."):
                await sock.sendmsg(bytes(70_000), there)
            assert await sock.sendmsg(b"well", there) == 4
            assert (await receiver.recvmsg(10)).data == b"well"

    run(main)


@needs_linux
def test_other_control_data() -> None:
    async def main() -> None:
        with udp() as server, udp() as client:
            server.bind("127.0.0.1", 0)
            so_timestamp = 29
            server.setsockopt(socket.SOL_SOCKET, so_timestamp, 1)
            control = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 3))
            server.setopt("recv_ttl", True)
            await client.sendmsg(b"x", server.getsockname(), ancillary=[control])
            message = await server.recvmsg(10)
            assert message.ttl == 3
            assert {item[:2] for item in message.ancillary} == {(socket.SOL_SOCKET, so_timestamp), control[:2]}

    run(main)


def test_a_system_without_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sock: object) -> None:
        raise io.UnsupportedOperation("this system has no recvmsg(2) and sendmsg(2)")

    monkeypatch.setattr(pollers, "check_messages", refuse)

    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs:
            for op in (theirs.recvmsg(1), ours.sendmsg(b"x")):
                with pytest.raises(io.UnsupportedOperation):
                    await op
        with pytest.raises(io.UnsupportedOperation):
            check_messages(object())

    run(main)
