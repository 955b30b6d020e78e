"""Pings for a silent peer, pongs without a receiving program, and servers that stop."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import Event, http, newthread, sleep
from socket2.http import WebSocketClosed

from ...handclock import SetClock
from ..client.scripted import Steps, in_thread
from .scene import CLOSE, PING, PONG, TEXT, Raw, closing, deaf, echo, raw_client, raw_server, serving, url

OFTEN = 0.01


@pytest.mark.parametrize("reads", [False, True])
@in_thread
def test_a_silent_peer_gets_pings(clock: SetClock, reads: bool) -> Steps:
    def script(raw: Raw) -> Steps:
        for _ in range(3):
            first, payload = yield from raw.recv()
            assert first == PING
            assert len(payload) == 4
            clock.time_s += OFTEN / 10
            yield from raw.send((PONG, payload))
        yield from raw.send((TEXT, b"enough"))
        yield from raw.recv()

    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN)
        reading = newthread(ws.recv) if reads else None
        for _ in range(3):
            heard_at = ws.heard_at
            clock.time_s += 2 * OFTEN
            while ws.heard_at == heard_at:
                yield from sleep(0)
        if reading is None:
            while not ws.ahead:
                yield from sleep(0)
        assert (yield from ws.recv() if reading is None else reading.join()) == "enough"
        ws.abort()


@pytest.mark.parametrize("reads", [False, True])
@in_thread
def test_a_peer_that_does_not_answer_pings(clock: SetClock, reads: bool) -> Steps:
    def script(raw: Raw) -> Steps:
        assert (yield from raw.recv())[0] == PING
        pinged.set()
        assert (yield from raw.recv()) is None

    pinged = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN, ping_timeout_s=OFTEN)
        reading = newthread(ws.recv) if reads else None
        clock.time_s += 2 * OFTEN
        yield from pinged.wait()
        assert not ws.closed
        clock.time_s += 2 * OFTEN
        while not ws.closed:
            yield from sleep(0)
        with pytest.raises(WebSocketClosed, match="no answer to a ping within 0.01 s") as caught:
            yield from ws.recv() if reading is None else reading.join()
        assert caught.value.code == 1006


@in_thread
def test_a_peer_that_takes_nothing_fails_the_ping_too(clock: SetClock) -> Steps:
    with raw_server(deaf) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN, ping_timeout_s=OFTEN, compress=False)
        sending = newthread(ws.send, bytes(20 << 20))
        clock.time_s += 2 * OFTEN
        while ws._watcher._pinged_at is None:
            yield from sleep(0)
        clock.time_s += 2 * OFTEN
        with pytest.raises(WebSocketClosed):
            yield from sending.join()


@in_thread
def test_whatever_comes_is_a_sign_of_life(clock: SetClock) -> Steps:
    """No pong, but messages."""

    def script(raw: Raw) -> Steps:
        for _ in range(10):
            yield from go_on.wait()
            go_on.clear()
            yield from raw.send((TEXT, b"x"))
        yield from raw.send((CLOSE, closing(1000)))
        while (yield from raw.recv())[0] == PING:
            pass

    go_on = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN / 2, ping_timeout_s=3 * OFTEN)
        for _ in range(10):
            clock.time_s += OFTEN
            go_on.set()
            assert (yield from ws.recv()) == "x"
        assert (yield from ws.recv()) is None


@in_thread
def test_without_a_limit_for_the_pong(clock: SetClock) -> Steps:
    def script(raw: Raw) -> Steps:
        for _ in range(3):
            assert (yield from raw.recv())[0] == PING
            pinged.set()
        yield from raw.send((CLOSE, b""))
        assert (yield from raw.recv())[0] == CLOSE

    pinged = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN, ping_timeout_s=None)
        reading = newthread(ws.recv)
        for _ in range(3):
            clock.time_s += 2 * OFTEN
            yield from pinged.wait()
            pinged.clear()
        assert (yield from reading.join()) is None


@in_thread
def test_pings_of_the_peer_are_answered_although_the_program_does_not_receive(clock: SetClock) -> Steps:
    def script(raw: Raw) -> Steps:
        yield from raw.send((PING, b"are you there"))
        while (yield from raw.recv()) != (PONG, b"are you there"):
            pass
        answered.set()
        yield from raw.recv()

    answered = Event()
    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN, ping_timeout_s=None)
        clock.time_s += 2 * OFTEN
        yield from answered.wait()
        ws.abort()


@in_thread
def test_a_message_that_waits_stops_the_reading(clock: SetClock) -> Steps:
    """A peer that is never read is not thought dead, and no more than a message is received ahead."""

    def script(raw: Raw) -> Steps:
        yield from raw.send((TEXT, b"1"), (TEXT, b"2"))
        while (yield from raw.recv()) is not None:
            pass

    with raw_server(script) as address:
        ws = yield from http.websocket(address, ping_interval_s=OFTEN, ping_timeout_s=OFTEN)
        while not ws.ahead:
            clock.time_s += 2 * OFTEN
            yield from sleep(0)
        for _ in range(10):
            clock.time_s += 2 * OFTEN
            for _ in range(5):
                yield from sleep(0)
        assert ws.ahead
        assert not ws.closed
        assert (yield from ws.recv()) == "1"
        assert (yield from ws.recv()) == "2"
        ws.abort()


# A server that stops.


@in_thread
def test_a_stop_says_going_away() -> Steps:
    ended: list[Any] = []

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket()
        while (message := (yield from ws.recv())) is not None:
            ended.append(message)
        ended.append(ws.close_code)

    with serving(handler) as server, raw_client(server) as connect:
        raws = []
        for _ in range(3):
            raws.append((yield from connect()))
        stopping = newthread(server.stop, 10.0)
        for raw in raws:
            assert (yield from raw.recv()) == (CLOSE, closing(1001))
            yield from raw.send((TEXT, b"on its way"), (CLOSE, closing(1001)))
            assert (yield from raw.recv()) is None
            raw.lines.close()
        assert (yield from stopping.join()) == 0
    assert ended.count("on its way") == 3
    assert ended.count(1001) == 3


@in_thread
def test_a_stop_with_a_handler_that_only_sends() -> Steps:
    seen = []

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket()
        try:
            while True:
                yield from ws.send("tick")
                yield from sleep(0)
        except WebSocketClosed as error:
            seen.append(error.code)

    with serving(handler) as server:
        ws = yield from http.websocket(url(server))
        assert (yield from ws.recv()) == "tick"
        stopping = newthread(server.stop, 10.0)
        while (yield from ws.recv()) is not None:
            pass
        assert ws.close_code == 1001
        assert (yield from stopping.join()) == 0
    assert seen == [1001]


@in_thread
def test_a_client_that_ignores_the_stop_is_left_in_time(clock: SetClock) -> Steps:
    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket(close_s=OFTEN)
        yield from ws.recv()

    with serving(handler) as server, raw_client(server) as connect:
        raw = yield from connect()
        stopping = newthread(server.stop, 10.0)
        assert (yield from raw.recv()) == (CLOSE, closing(1001))
        assert not stopping.done
        clock.time_s += 2 * OFTEN
        assert (yield from stopping.join()) == 0


@in_thread
def test_a_stop_after_all_have_left() -> Steps:
    with serving(echo) as server:
        for _ in range(2):
            ws = yield from http.websocket(url(server))
            yield from ws.close()
        assert (yield from server.stop(10.0)) == 0


def test_a_client_in_a_handler_is_no_business_of_the_server() -> None:
    """A proxy: the WebSocket that its handler opens is closed when the handler says so."""

    async def relay(request: http.Request) -> None:
        async with await http.websocket(addresses[0]) as further, await request.websocket() as ws:
            async for message in ws:
                await further.send(message)
                reply = await further.recv()
                assert reply is not None
                await ws.send(reply)

    async def main() -> None:
        behind, before = socket2.Server(http.handler(echo)), socket2.Server(http.handler(relay))
        for server in (behind, before):
            server.add(socket2.listen("127.0.0.1:0"))
        addresses.append(url(behind))
        ws = await http.websocket(url(before))
        await ws.send("a")
        assert await ws.recv() == "a"
        stopping = newthread(before.stop, 10.0)
        assert await ws.recv() is None
        assert ws.close_code == 1001
        assert await stopping.join() == 0
        assert await behind.stop(10.0) == 0

    addresses: list[str] = []
    socket2.run(main)
