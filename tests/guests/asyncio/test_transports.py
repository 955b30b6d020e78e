"""Connections of asyncio programs on our pollers."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from ...interop.peers import pattern
from .conftest import Run

HERE = "127.0.0.1"


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Recorded(asyncio.Protocol):
    """Notes what its transport tells it, in this order."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.lost = asyncio.Event()
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.said.append("made")
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.said.append(data)

    def eof_received(self) -> bool | None:
        self.said.append("eof")
        self.ended.set()
        return None

    def connection_lost(self, error: BaseException | None) -> None:
        self.said.append(type(error))
        self.lost.set()


async def pair(protocol: Any) -> tuple[Any, socket.socket]:
    """Return a transport with `protocol`, and its blocking peer."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
    return transport, theirs


def test_streams_echo_all_bytes(run: Run[bytes]) -> None:
    data = pattern(1, 3_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(50_000):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def main() -> bytes:
        async with await asyncio.start_server(echo, HERE, 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(data)
            writer.write_eof()
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
            return received

    assert run(main) == data


def test_a_protocol_is_told_everything_once_and_in_order(run: Run[None]) -> None:
    async def main() -> None:
        protocol = Recorded()
        transport, peer = await pair(protocol)
        with peer:
            peer.send(b"one")
            while len(protocol.said) < 2:
                await asyncio.sleep(0)
            peer.shutdown(socket.SHUT_WR)
            await protocol.lost.wait()
            assert protocol.said == ["made", b"one", "eof", type(None)]
            assert transport.is_closing()
            assert transport.get_extra_info("socket").fileno() == -1

    run(main)


def test_a_reset_is_told(run: Run[None]) -> None:
    async def main() -> None:
        with socket.create_server((HERE, 0)) as listener:
            protocol = Recorded()
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: protocol, *listener.getsockname())
            peer, _ = listener.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            await protocol.lost.wait()
            assert protocol.said == ["made", ConnectionResetError]

    run(main)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_what_is_written_may_be_changed_afterwards(run: Run[None], kind: Any) -> None:
    size = 4_000_000

    async def main() -> None:
        data = bytearray(b"a" * size)
        transport, peer = await pair(Recorded())
        with peer:
            transport.write(kind(data))
            assert 0 < transport.get_write_buffer_size() < size
            data[:] = b"b" * size
            received = await asyncio.to_thread(receive_exactly, peer, size)
            assert received == b"a" * size
            transport.close()

    run(main)


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece
        data += piece
    return bytes(data)


def test_a_writer_is_paused_and_resumed_at_its_limits(run: Run[None]) -> None:
    class Limited(Recorded):
        def pause_writing(self) -> None:
            self.said.append("pause")

        def resume_writing(self) -> None:
            self.said.append("resume")

    async def main() -> None:
        protocol = Limited()
        transport, peer = await pair(protocol)
        with peer:
            transport.set_write_buffer_limits(high=1000, low=10)
            size = 0
            while not transport.get_write_buffer_size():
                transport.write(b"x" * 900)
                size += 900
            left = transport.get_write_buffer_size()
            assert "pause" not in protocol.said
            transport.write(b"y" * 2000)
            assert transport.get_write_buffer_size() == left + 2000
            assert protocol.said[-1] == "pause"
            await asyncio.to_thread(receive_exactly, peer, size + 2000)
            while transport.get_write_buffer_size():
                await asyncio.sleep(0.001)
            assert protocol.said[-1] == "resume"
            transport.close()

    run(main)


def test_a_paused_transport_receives_nothing_until_it_is_resumed(run: Run[None]) -> None:
    async def main() -> None:
        protocol = Recorded()
        transport, peer = await pair(protocol)
        with peer:
            transport.pause_reading()
            transport.pause_reading()
            peer.send(b"one")
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert protocol.said == ["made"]
            transport.resume_reading()
            transport.resume_reading()
            while len(protocol.said) < 2:
                await asyncio.sleep(0)
            transport.pause_reading()
            transport.resume_reading()
            peer.send(b"two")
            peer.close()
            await protocol.lost.wait()
            assert protocol.said == ["made", b"one", b"two", "eof", type(None)]

    run(main)


def test_one_protocol_may_pause_another_one_in_the_same_turn(run: Run[None]) -> None:
    """Both have received by then. What the paused one has received is kept."""

    async def main() -> None:
        pairs = [await pair(Recorded()) for _ in range(2)]
        transports = [transport for transport, _ in pairs]

        def pause_the_other(this: int) -> Any:
            def data_received(data: bytes) -> None:
                transports[1 - this].pause_reading()
                protocols[this].said.append(data)

            return data_received

        protocols = [transport.get_protocol() for transport in transports]
        for this, protocol in enumerate(protocols):
            protocol.data_received = pause_the_other(this)
        for _, peer in pairs:
            peer.send(b"data")
        while len([said for protocol in protocols for said in protocol.said]) < 3:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert sorted(len(protocol.said) for protocol in protocols) == [1, 2]
        for transport in transports:
            transport.resume_reading()
        while len([said for protocol in protocols for said in protocol.said]) < 4:
            await asyncio.sleep(0)
        for transport, peer in pairs:
            peer.close()
            transport.close()

    run(main)


def test_a_buffered_protocol_lends_its_buffer_only_while_it_is_filled(run: Run[None]) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(1000)
            self.asked = 0
            self.received = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            self.asked += 1
            return self.buffer

        def buffer_updated(self, n: int) -> None:
            self.received += self.buffer[:n]
            self.buffer += b"0"  # raises BufferError if somebody still has a view of it

    async def main() -> None:
        protocol = Buffered()
        transport, peer = await pair(protocol)
        with peer:
            for _ in range(5):
                await asyncio.sleep(0.001)
            assert protocol.asked == 0
            data = pattern(2, 20_000)
            peer.sendall(data)
            while len(protocol.received) < len(data):
                await asyncio.sleep(0)
            assert protocol.received == data
            transport.close()

    run(main)


def test_a_protocol_can_be_replaced_by_a_buffered_one_and_back(run: Run[None]) -> None:
    class Buffered(asyncio.BufferedProtocol):
        received = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            self.buffer = bytearray(3)
            return self.buffer

        def buffer_updated(self, n: int) -> None:
            self.received += self.buffer[:n]

    async def main() -> None:
        first, second, third = Recorded(), Buffered(), Recorded()
        transport, peer = await pair(first)
        with peer:
            peer.send(b"first")
            while len(first.said) < 2:
                await asyncio.sleep(0)
            transport.set_protocol(second)
            peer.send(b"second")
            while second.received != b"second":
                await asyncio.sleep(0)
            transport.set_protocol(third)
            peer.send(b"third")
            while b"".join(third.said) != b"third":
                await asyncio.sleep(0)
            transport.close()

    run(main)


def test_sendfile_sends_a_part_of_a_file(run: Run[None], tmp_path: Path) -> None:
    data = pattern(3, 2_000_000)
    (tmp_path / "file").write_bytes(data)

    async def main() -> None:
        protocol = Recorded()
        transport, peer = await pair(protocol)
        with peer, open(tmp_path / "file", "rb") as file:
            received = asyncio.ensure_future(asyncio.to_thread(receive_exactly, peer, 1_500_000 + 3))
            transport.write(b"abc")
            loop = asyncio.get_running_loop()
            assert await loop.sendfile(transport, file, 400_000, 1_500_000, fallback=False) == 1_500_000
            assert await received == b"abc" + data[400_000:1_900_000]
            peer.send(b"after")
            while len(protocol.said) < 2:
                await asyncio.sleep(0)
            transport.close()

    run(main)
