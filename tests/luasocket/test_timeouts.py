"""The block timeout limits each wait, the total timeout a whole call. Both leave the object as it was."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..interop.peers import LIMIT_S
from .face import Do, Pair, server

SHORT_S = 0.05


def drip(pair: Pair, pieces: int, every_s: float) -> Any:
    """A thread that sends the client a byte now and then."""

    def dripping() -> Any:
        for _ in range(pieces):
            pair.peer.send(b"x")
            yield from luasocket.sleep(every_s)

    return socket2.newthread(dripping)


async def test_block_is_for_each_wait(do: Do, pair: Pair) -> None:
    """Each byte comes in time, and all of them together take longer than the timeout."""
    pair.client.settimeout(1, "b")
    begun = monotonic()
    thread = drip(pair, 11, 0.1)
    assert await do(pair.client.receive, 11) == (b"x" * 11, None, None)
    assert monotonic() - begun > 1
    while not thread.done:
        await do(luasocket.sleep, 0.01)


@pytest.mark.parametrize("mode", ["t", "r", "total"])
async def test_total_is_for_the_call(do: Do, pair: Pair, mode: str) -> None:
    """Each byte comes in time, but the call takes too long."""
    pair.client.settimeout(0.1, mode)
    thread = drip(pair, 100, 0.01)
    data, err, partial = await do(pair.client.receive, 1000)
    assert (data, err) == (None, "timeout")
    assert 0 < len(partial) < 100
    thread.cancel()
    await do(luasocket.sleep, 0)


@pytest.mark.parametrize(("block", "total"), [(SHORT_S, LIMIT_S), (LIMIT_S, SHORT_S)])
async def test_the_shorter_one_counts(do: Do, pair: Pair, block: float, total: float) -> None:
    pair.client.settimeout(block)
    pair.client.settimeout(total, "t")
    assert pair.client.gettimeout() == (block, total)
    begun = monotonic()
    assert await do(pair.client.receive) == (None, "timeout", b"")
    assert SHORT_S <= monotonic() - begun < LIMIT_S / 2


async def test_a_total_that_is_over_ends_even_a_call_that_need_not_wait(do: Do, pair: Pair) -> None:
    """A peer that sends without end would keep '*a' going forever."""
    peer = pair.peer
    peer.setblocking(False)

    def flood() -> Any:
        while True:
            try:
                peer.send(bytes(100_000))
            except BlockingIOError:
                yield from luasocket.sleep(0)
            except ConnectionError:
                return

    flooding = socket2.newthread(flood)
    pair.client.settimeout(SHORT_S, "t")
    data, err, partial = await do(pair.client.receive, "*a")
    assert (data, err) == (None, "timeout")
    assert partial
    flooding.cancel()
    await do(luasocket.sleep, 0)


async def test_the_clock_starts_with_the_call_and_not_with_settimeout(do: Do, pair: Pair) -> None:
    pair.client.settimeout(SHORT_S, "t")
    await do(luasocket.sleep, 2 * SHORT_S)
    pair.peer.sendall(b"in time\n")
    assert await do(pair.client.receive) == (b"in time", None, None)


@pytest.mark.parametrize("mode", ["b", "t"])
async def test_0_does_what_can_be_done_at_once(do: Do, pair: Pair, mode: str) -> None:
    pair.client.settimeout(0, mode)
    assert await do(pair.client.receive) == (None, "timeout", b"")
    pair.peer.sendall(b"x\n" * 500)
    for _ in range(500):  # more than may finish in a row without a wait; the pause must not count as a wait
        assert await do(pair.client.receive) == (b"x", None, None)
    for _ in range(200):
        assert await do(pair.client.send, b"x") == (1, None, None)
    assert await do(pair.client.receive) == (None, "timeout", b"")


async def test_0_again_and_again_lets_others_run(do: Do, pair: Pair) -> None:
    pair.client.settimeout(0)
    pair.peer.setblocking(False)

    def answer() -> Any:
        yield from luasocket.sleep(0.01)
        pair.peer.send(b"at last\n")

    socket2.newthread(answer)
    while (await do(pair.client.receive))[1] == "timeout":
        pass


@pytest.mark.parametrize("value", [None, -1, -0.5, -math.inf, math.inf, 2**40])
async def test_no_limit(do: Do, pair: Pair, value: Any) -> None:
    for mode in ("b", "t"):
        pair.client.settimeout(0, mode)
        assert pair.client.settimeout(value, mode) == 1
    assert pair.client.gettimeout() == (-1, -1)

    def answer() -> Any:
        yield from luasocket.sleep(0.01)
        pair.peer.sendall(b"late\n")

    socket2.newthread(answer)
    assert await do(pair.client.receive) == (b"late", None, None)


async def test_accept(do: Do) -> None:
    listener, port = server()
    with listener:
        listener.settimeout(0.01)
        assert await do(listener.accept) == (None, "timeout")
        listener.settimeout(0)
        assert await do(listener.accept) == (None, "timeout")
        client, _ = await do(luasocket.connect, "127.0.0.1", port)
        listener.settimeout(LIMIT_S)
        accepted, err = await do(listener.accept)
        assert err is None
        assert accepted.gettimeout() == (-1, -1), "a client has timeouts of its own"
        accepted.close()
        client.close()


async def test_udp(do: Do) -> None:
    with luasocket.udp() as sock:
        assert await do(sock.setsockname, "127.0.0.1", 0) == (1, None)
        for value in (0, 0.01):
            sock.settimeout(value)
            assert await do(sock.receive) == (None, "timeout")
            assert await do(sock.receivefrom) == (None, "timeout", None)


async def test_cancelled_where_it_lets_others_run(do: Do) -> None:
    """The calls of the thread never have to wait."""
    with luasocket.udp() as sock:
        assert await do(sock.setsockname, "127.0.0.1", 0) == (1, None)
        sock.settimeout(LIMIT_S)
        name: Any = sock.getsockname()

        def send() -> Any:
            while True:
                yield from sock.sendto(b"x", *name[:2])

        thread = socket2.newthread(send)
        assert not thread.done
        thread.cancel()
        await do(luasocket.sleep, 0)
        assert thread.done


def test_mode_is_told_by_its_first_letter(pair: Pair) -> None:
    assert pair.client.settimeout(1) == 1
    assert pair.client.settimeout(2, "total") == 1
    assert pair.client.gettimeout() == (1, 2)
    assert pair.client.settimeout(3, "block") == 1
    assert pair.client.settimeout(4, "r") == 1
    assert pair.client.gettimeout() == (3, 4)


@pytest.mark.parametrize("mode", ["x", "", "T"])
def test_another_mode_raises(pair: Pair, mode: str) -> None:
    with pytest.raises(ValueError, match="invalid timeout mode"):
        pair.client.settimeout(1, mode)


@pytest.mark.parametrize(("value", "mode"), [("1", "b"), (True, "b"), ([], "b"), (1, 2)])
def test_what_is_no_timeout_raises(pair: Pair, value: Any, mode: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        pair.client.settimeout(value, mode)
    with pytest.raises(ValueError, match="nan"):
        pair.client.settimeout(math.nan)
