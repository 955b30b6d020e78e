"""send(): which bytes are sent, what is returned, and what happens if a send is cut short."""

from __future__ import annotations

import errno
import signal
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from ..interop.peers import LIMIT_S, beside, pattern, receive_all, receive_exactly
from .face import Do, Pair

BIG = pattern(2, 12_000_000)


@pytest.mark.parametrize(
    ("range", "last", "arrives"),
    [
        ((), 5, b"hello"),
        ((1,), 5, b"hello"),
        ((2,), 5, b"ello"),
        ((2, 3), 3, b"el"),
        ((1, -1), 5, b"hello"),
        ((-3,), 5, b"llo"),
        ((-3, -2), 4, b"ll"),
        ((-100,), 5, b"hello"),
        ((0, 100), 5, b"hello"),
        ((4, 2), 3, b""),
        ((3, 2), 2, b""),
        ((10,), 9, b""),
        ((5, -100), 4, b""),
        ((-2, 1), 3, b""),
    ],
)
async def test_ranges_are_those_of_string_sub(
    do: Do, pair: Pair, range: tuple[int, ...], last: int, arrives: bytes
) -> None:
    assert await do(pair.client.send, b"hello", *range) == (last, None, None)
    pair.client.close()
    assert receive_all(pair.peer) == arrives


async def test_nothing(do: Do, pair: Pair) -> None:
    assert await do(pair.client.send, b"") == (0, None, None)
    assert await do(pair.client.send, b"", 5, 7) == (4, None, None)


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), memoryview(b"bytes").cast("b")])
async def test_any_bytes(do: Do, pair: Pair, data: Any) -> None:
    assert await do(pair.client.send, data) == (5, None, None)
    assert receive_exactly(pair.peer, 5) == b"bytes"


@pytest.mark.parametrize("data", ["text", 5, None])
def test_what_is_no_bytes_raises(pair: Pair, data: Any) -> None:
    with pytest.raises(TypeError):
        pair.client.send(data)


async def test_all_of_it_is_sent_however_big(do: Do, pair: Pair) -> None:
    with beside(receive_exactly, pair.peer, len(BIG)) as receiver:
        assert await do(pair.client.send, BIG) == (len(BIG), None, None)
    assert receiver.outcome() == BIG


@pytest.mark.parametrize("mode", ["b", "t"])
async def test_a_timeout_tells_how_far_it_came(do: Do, pair: Pair, mode: str) -> None:
    pair.client.settimeout(0.01, mode)
    sent, err, last = await do(pair.client.send, BIG, 11)
    assert (sent, err) == (None, "timeout")
    assert 10 < last < len(BIG)
    pair.client.settimeout(None, mode)
    with beside(receive_all, pair.peer) as receiver:
        assert await do(pair.client.send, BIG, last + 1) == (len(BIG), None, None)
        pair.client.close()
    assert receiver.outcome() == BIG[10:]


async def test_without_waiting_it_sends_what_fits(do: Do, pair: Pair) -> None:
    pair.client.settimeout(0)
    _, err, last = await do(pair.client.send, BIG)
    assert err == "timeout"
    assert last > 0
    assert await do(pair.client.send, BIG, last + 1) == (None, "timeout", last)
    assert receive_exactly(pair.peer, last) == BIG[:last]


@pytest.fixture
def deadly_sigpipe() -> Iterator[None]:
    """Restore the default of SIGPIPE: it ends the process."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.mark.usefixtures("deadly_sigpipe")
async def test_to_a_peer_that_has_gone(do: Do, pair: Pair) -> None:
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()
    _, err, last = await do(pair.client.send, b"hello", 2)
    assert (err, err.errno, last) == ("closed", errno.ECONNRESET, 1)
    _, err, last = await do(pair.client.send, b"hello", 2)
    assert (err, err.errno, last) == ("closed", errno.EPIPE, 1)


async def test_after_close_it_is_closed(do: Do, pair: Pair) -> None:
    pair.client.close()
    assert await do(pair.client.send, b"hello") == (None, "closed", 0)
    assert await do(pair.client.send, b"hello", 3) == (None, "closed", 2)


async def test_close_wakes_who_sends(do: Do, pair: Pair) -> None:
    sender = socket2.newthread(pair.client.send, BIG)
    assert not sender.done
    pair.client.close()
    while not sender.done:
        await do(luasocket.sleep, 0)
    _, err, last = sender.result()
    assert (err, err.errno) == ("closed", errno.EBADF)
    assert last == len(receive_all(pair.peer))


async def test_cancelled_it_says_how_far_it_came(do: Do, pair: Pair) -> None:
    sender = socket2.newthread(pair.client.send, BIG)
    sender.cancel()
    while not sender.done:
        await do(luasocket.sleep, 0)
    with pytest.raises(socket2.Cancelled) as cancelled:
        sender.result()
    sent: int = cancelled.value.bytes_sent
    assert pair.client.getstats()[1] == sent
    pair.client.close()
    assert receive_all(pair.peer) == BIG[:sent]


async def test_a_second_sender_is_refused(do: Do, pair: Pair) -> None:
    first = socket2.newthread(pair.client.send, BIG, name="the first")
    with pytest.raises(socket2.Busy, match="'the first' is sending"):
        await do(pair.client.send, b"x")
    with beside(receive_exactly, pair.peer, len(BIG)) as receiver:
        while not first.done:
            await do(luasocket.sleep, 0.001)
    assert receiver.outcome() == BIG


async def test_one_sends_while_another_receives(do: Do, pair: Pair) -> None:
    receiver = socket2.newthread(pair.client.receive)
    assert await do(pair.client.send, b"ping\n") == (5, None, None)
    assert receive_exactly(pair.peer, 5) == b"ping\n"
    pair.peer.sendall(b"pong\n")
    while not receiver.done:
        await do(luasocket.sleep, 0)
    assert receiver.result() == (b"pong", None, None)


# Shutdown.


async def test_shutdown_of_sending_lets_receiving_go_on(do: Do, pair: Pair) -> None:
    assert await do(pair.client.send, b"question") == (8, None, None)
    assert pair.client.shutdown("send") == 1
    assert receive_all(pair.peer) == b"question"
    pair.peer.sendall(b"answer")
    pair.peer.close()
    assert await do(pair.client.receive, "*a") == (b"answer", None, None)
    _, err, _ = await do(pair.client.send, b"more")
    assert err == "closed"


async def test_shutdown_of_receiving_ends_the_stream(do: Do, pair: Pair) -> None:
    pair.client.settimeout(LIMIT_S)
    assert pair.client.shutdown("receive") == 1
    assert await do(pair.client.receive) == (None, "closed", b"")
    assert await do(pair.client.send, b"still") == (5, None, None)
    assert receive_exactly(pair.peer, 5) == b"still"


@pytest.mark.parametrize("mode", [(), ("both",)])
async def test_shutdown_of_both(do: Do, pair: Pair, mode: tuple[str, ...]) -> None:
    assert pair.client.shutdown(*mode) == 1
    assert receive_all(pair.peer) == b""
    assert await do(pair.client.receive) == (None, "closed", b"")
    assert (await do(pair.client.send, b"x"))[1] == "closed"


def test_shutdown_returns_1_always(pair: Pair) -> None:
    assert pair.client.shutdown() == pair.client.shutdown() == 1
    pair.client.close()
    assert pair.client.shutdown() == 1


@pytest.mark.parametrize("mode", ["x", "", "SEND"])
def test_another_shutdown_raises(pair: Pair, mode: Any) -> None:
    with pytest.raises(ValueError, match="invalid option"):
        pair.client.shutdown(mode)
    with pytest.raises(TypeError, match="string expected"):
        pair.client.shutdown(1)  # type: ignore[arg-type]
