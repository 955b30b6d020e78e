"""Protocols and programs that do what they should not, on our loop for asyncio."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from typing import Any

import pytest

from .conftest import Run
from .test_transports import Recorded, pair


def test_an_error_of_a_protocol_closes_its_connection_only(run: Run[None]) -> None:
    class Failing(Recorded):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        reported: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        failing, other = Failing(), Recorded()
        transport, peer = await pair(failing)
        second, other_peer = await pair(other)
        with peer, other_peer:
            peer.send(b"x")
            await failing.lost.wait()
            assert failing.said == ["made", ZeroDivisionError]
            assert [context["transport"] for context in reported] == [transport]
            other_peer.send(b"y")
            while len(other.said) < 2:
                await asyncio.sleep(0)
            second.close()

    run(main)


def test_a_loop_can_go_on_after_a_protocol_has_raised_system_exit(loop: Any) -> None:
    class Exiting(Recorded):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise SystemExit(3)

    async def connect() -> Any:
        return [await pair(Exiting()) for _ in range(2)]

    pairs = loop.run_until_complete(connect())
    for _, peer in pairs:
        peer.send(b"exit")
    for _ in pairs:
        with pytest.raises(SystemExit):
            loop.run_forever()
    for transport, peer in pairs:
        peer.close()
        protocol = transport.get_protocol()
        loop.run_until_complete(protocol.lost.wait())
        assert protocol.said == ["made", b"exit", "eof", type(None)]


def test_writing_after_the_end_is_refused_or_counted(run: Run[None], caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, peer = await pair(Recorded())
        with peer:
            transport.write_eof()
            with pytest.raises(RuntimeError, match="write_eof"):
                transport.write(b"x")
            with pytest.raises(TypeError, match="bytes-like"):
                transport.write("text")
            transport.abort()
        other, peer = await pair(Recorded())
        with peer:
            other.close()
            for _ in range(10):
                other.write(b"x")

    run(main)
    assert "socket.send() raised exception." in caplog.text


def test_a_transport_that_nobody_has_closed_is_warned_of(run: Run[socket.socket]) -> None:
    async def main() -> socket.socket:
        _, peer = await pair(Recorded())
        return peer

    def run_and_collect() -> socket.socket:
        peer = run(main)
        gc.collect()  # the protocol and the transport refer to each other
        return peer

    with pytest.warns(ResourceWarning, match="unclosed transport <StreamTransport fd="):
        peer = run_and_collect()
    with peer:
        assert peer.recv(1) == b""


def test_a_slow_protocol_is_reported_in_debug_mode(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Recorded):
        def data_received(self, data: bytes) -> None:
            until = time.monotonic() + 0.02
            while time.monotonic() < until:
                pass
            super().data_received(data)

    async def main() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.01
        protocol = Slow()
        transport, peer = await pair(protocol)
        with peer:
            peer.send(b"x")
            while len(protocol.said) < 2:
                await asyncio.sleep(0)
            transport.close()

    run(main, debug=True)
    assert "Executing <Handle" in caplog.text
