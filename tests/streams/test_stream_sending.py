"""Streams over real sockets: sending, one reader and one writer, and the end."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Busy,
    Cancelled,
    Closed,
    IncompleteRead,
    Stream,
    call_in_thread,
    newthread,
    sleep,
    timeout,
)

from ..interop.peers import LIMIT_S, OSThread, beside, pattern, receive_all, run
from . import test_stream
from .test_stream import Pair, connected, ends

pair = test_stream.pair


async def ended(receiving: OSThread[bytes]) -> None:
    """Wait for its end while the loop runs: over TLS, shutdown() may leave the close_notify to a thread."""
    await call_in_thread(receiving.join, LIMIT_S)


# Sending.


def test_sendall_and_half_close(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(4, 3_000_000)

    async def main() -> None:
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data)
            await ours.sendall(bytearray(b"more"))
            await ours.sendall(b"")
            ours.shutdown()
            await ended(receiving)
        assert receiving.outcome() == data + b"more"
        ends(peer, b"and back\n")
        assert await ours.recvline() == b"and back"

    run(main)


def test_what_ends_a_sendall_early_tells_how_far_it_was(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(5, 10_000_000)

    async def main() -> None:
        with pytest.raises(TimeoutError) as failure, timeout(0.01):
            await ours.sendall(data)
        first: int = failure.value.bytes_sent  # type: ignore[attr-defined]
        assert 0 < first < len(data)
        sending = newthread(ours.sendall(data[first:]))
        await sleep(0)
        sending.cancel()
        with pytest.raises(Cancelled) as cancelled:
            await sending.join()
        second: int = first + cancelled.value.bytes_sent
        ours.sock.settimeout(0.01, "write")
        with pytest.raises(TimeoutError) as failure:
            await ours.sendall(data[second:])
        third: int = second + failure.value.bytes_sent  # type: ignore[attr-defined]
        ours.sock.settimeout(None)
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data[third:])
            ours.shutdown()
            await ended(receiving)
        assert receiving.outcome() == data, "nothing was lost, nothing came twice"

    run(main)


def test_sendv_joins_small_pieces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    sends: list[int] = []
    really = TCP.sendall

    def sendall(self: TCP, data: Any) -> Any:
        sends.append(len(data))
        return really(self, data)

    monkeypatch.setattr(TCP, "sendall", sendall)
    pieces = [b"%d," % n for n in range(50_000)]

    async def main() -> None:
        with beside(receive_all, peer) as receiving:
            await ours.sendv(pieces)
            await ours.sendv([])
            large_and_small: list[bytes | bytearray] = [b"x" * 100_000, b"", b"y", bytearray(b"z")]
            await ours.sendv(iter(large_and_small))
            ours.shutdown()
            await ended(receiving)
        assert receiving.outcome() == b"".join(pieces) + b"x" * 100_000 + b"yz"

    run(main)
    assert len(sends) == len(b"".join(pieces)) // (1 << 16) + 1 + 2


def test_sendv_counts_over_all_pieces(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(6, 10_000_000)
    pieces = [data[at : at + 3000] for at in range(0, len(data), 3000)]

    async def main() -> None:
        with pytest.raises(TimeoutError) as failure, timeout(0.01):
            await ours.sendv(pieces)
        sent: int = failure.value.bytes_sent  # type: ignore[attr-defined]
        assert 0 < sent < len(data)
        with beside(receive_all, peer) as receiving:
            await ours.sendall(data[sent:])
            ours.shutdown()
            await ended(receiving)
        assert receiving.outcome() == data

    run(main)


def test_the_timeout_is_for_all_pieces(pair: Pair) -> None:
    """A peer that takes a little now and then does not extend the timeout."""
    ours, peer = pair
    peer.setblocking(False)

    async def take_a_little() -> None:
        while True:
            with suppress(BlockingIOError):
                peer.recv(1 << 18)
            await sleep(0.005)

    async def main() -> None:
        ours.sock.settimeout(0.1, "write")
        taking = newthread(take_a_little())
        with pytest.raises(TimeoutError):
            await ours.sendv(iter(lambda: bytes(1 << 16), None))
        taking.cancel()
        with pytest.raises(Cancelled):
            await taking.join()

    run(main)


def test_sendv_of_pieces_that_fail(pair: Pair) -> None:
    ours, _ = pair

    def pieces() -> Iterator[bytes]:
        yield bytes(1 << 16)
        raise LookupError("no more")

    async def main() -> None:
        with pytest.raises(LookupError) as failure:
            await ours.sendv(pieces())
        assert failure.value.bytes_sent == 1 << 16  # type: ignore[attr-defined]

    run(main)


# One reader, one writer.


def test_one_thread_receives_while_another_sends(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(7, 5_000_000)

    def echo() -> None:
        while block := peer.recv(1 << 16):
            peer.sendall(block)
        peer.shutdown(socket.SHUT_WR)

    async def send() -> None:
        await ours.sendall(data)
        ours.shutdown()

    async def main() -> None:
        with beside(echo):
            sending = newthread(send())
            assert await ours.recvn(len(data)) == data
            assert await ours.recvall() == b""
            await sending.join()

    run(main)


async def refused(operation: Awaitable[Any], match: str) -> None:
    with pytest.raises(Busy, match=match):
        await operation


def test_a_second_reader_is_refused_by_name(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        first = newthread(ours.recvline(), name="the first")
        peer.sendall(b"some")
        while not ours.buffered:
            await sleep(0)
        for second in (ours.recvline(), ours.recv(1), ours.recvn(1), ours.recvall(), ours.peek(), ours.recvuntil(b"x")):
            await refused(second, "thread 'the first' is receiving from this stream already")
        await refused(ours.finish(), "the first")
        await ours.sendall(b"the other direction is free")
        peer.sendall(b" line\nmore\n")
        assert await first.join() == b"some line", "and the first one has lost nothing"
        assert await ours.recvline() == b"more"

    run(main)


def test_a_second_reader_is_refused_between_two_steps_of_the_first(pair: Pair) -> None:
    """The first reader has received a part, and is in the ready queue to continue."""
    ours, peer = pair

    async def main() -> None:
        first = newthread(ours.recvn(2), name="the first")
        peer.sendall(b"1")
        while not ours.buffered:
            await refused(ours.recv(1), "the first")
            await sleep(0)
        await refused(ours.recv(1), "the first")
        peer.sendall(b"2")
        assert await first.join() == b"12"

    run(main)


def test_a_second_writer_is_refused_by_name(pair: Pair) -> None:
    ours, peer = pair
    data = pattern(8, 10_000_000)

    async def main() -> None:
        first = newthread(ours.sendall(data), name="the first")
        assert not first.done
        for second in (ours.sendall(b"x"), ours.sendv([b"x"]), ours.sendall(b"")):
            await refused(second, "thread 'the first' is sending to this stream already")
        with pytest.raises(Busy):
            ours.shutdown()
        ours.shutdown(socket.SHUT_RD)
        await refused(ours.finish(), "the first")
        with beside(receive_all, peer) as receiving:
            await first.join()
            ours.shutdown()
            await ended(receiving)
        assert receiving.outcome() == data

    run(main)


def test_a_stream_keeps_no_thread_alive(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        for operation in (ours.recvline(), ours.sendall(b"x")):
            waiting = newthread(operation)
            peer.sendall(b"line\n")
            await waiting.join()
            gone = weakref.ref(waiting)
            del waiting, operation
            await sleep(0)
            assert gone() is None

    run(main)


# The end.


def test_close_wakes_who_waits_and_drops_the_buffer(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"first\nhalf a ")
        assert await ours.recvline() == b"first"
        waiting = newthread(ours.recvline())
        ours.close()
        with pytest.raises(Closed):
            await waiting.join()
        for operation in (ours.recv(1), ours.recvline(), ours.sendall(b"x"), ours.peek()):
            with pytest.raises(Closed):
                await operation
        ours.close()
        assert "closed" in repr(ours)

    run(main)


def test_close_drops_what_nobody_has_asked_for(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"one\ntwo\n")
        assert await ours.recvline() == b"one"
        ours.close()
        with pytest.raises(Closed):
            await ours.recvline()

    run(main)


def test_finish_lets_everything_arrive_though_something_was_not_received() -> None:
    """An immediate close would reset the connection, and data in flight would be lost."""
    data = pattern(9, 2_000_000)

    def peer_sends_and_then_reads(peer: socket.socket) -> bytes:
        peer.sendall(b"a body that nobody reads" * 100)
        return receive_all(peer)

    async def main() -> None:
        with connected() as (ours, peer):
            with beside(peer_sends_and_then_reads, peer) as reading:
                assert await ours.peek() == b"a"
                await ours.sendall(data)
                sending_goes_on = newthread(ours.finish(LIMIT_S))
                received = await socket2.call_in_thread(reading.outcome)
                assert received == data
                peer.close()
                await sending_goes_on.join()
            assert ours.sock.closed

    run(main)


def test_finish_does_not_wait_for_ever(pair: Pair) -> None:
    ours, peer = pair

    async def main() -> None:
        peer.sendall(b"one\nand I shall not end")
        assert await ours.recvline() == b"one"
        await ours.finish(0.01)
        with pytest.raises(Closed):
            await ours.recv()
        assert ours.sock.closed
        await ours.finish(0.01)

    run(main)


def test_a_cancelled_finish_closes_all_the_same(pair: Pair) -> None:
    ours, _ = pair

    async def main() -> None:
        finishing = newthread(ours.finish(LIMIT_S))
        finishing.cancel()
        with pytest.raises(Cancelled):
            await finishing.join()
        assert ours.sock.closed

    run(main)


def test_a_stream_that_is_dropped_leaves_no_cycle() -> None:
    async def use(ours: Stream) -> None:
        assert await ours.recvline() == b"line"
        with pytest.raises(IncompleteRead):
            await ours.recvline()
        ours._reading.take()
        with pytest.raises(Busy):
            await ours.recvline()
        ours._reading.free = None

    gc.disable()
    try:
        with connected() as (ours, peer):
            ends(peer, b"line\nrest")
            run(use, ours)
        gone = weakref.ref(ours)
        del ours
        assert gone() is None
    finally:
        gc.enable()
