"""Pings of the program and of the peer."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import http, newthread, sleep
from socket2.http import WebSocket, WebSocketClosed
from socket2.threads.scheduler import current_scheduler

from ...handclock import SetClock
from ..client.scripted import Steps, in_thread
from .scene import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Raw,
    closing,
    echo,
    kept,
    raw_client,
    raw_server,
    served,
    serving,
    silent,
    url,
)


@in_thread
def test_pings_of_the_peer_are_answered() -> Steps:
    done: list[Any] = []
    with serving(kept(done)) as server, raw_client(server) as connect:
        raw = yield from connect()
        yield from raw.send(*[(PING, str(number).encode()) for number in range(20)], (PONG, b"unasked"))
        for number in range(20):
            assert (yield from raw.recv()) == (PONG, str(number).encode())
        yield from raw.send((CLOSE, b""))
        yield from raw.expect_close(None)
        raw.lines.close()


@in_thread
def test_a_flood_of_pings_is_not_kept() -> Steps:
    """The peer takes nothing. Only some of its pings wait for their answers, in one thread."""

    def use(ws: WebSocket) -> Steps:
        held.append(ws)
        ws._conn.setopt("sndbuf", 4096)
        while (yield from ws.recv()) is not None:
            got.set()

    held: list[WebSocket] = []
    got = socket2.Event()
    with served(use) as connect:
        raw = yield from connect()
        for _ in range(20):
            yield from raw.send(*[(PING, bytes(125))] * 500)
        yield from raw.send((TEXT, b"last"))
        yield from got.wait()
        assert len(held[0]._pongs) <= 64
        assert sum(thread.name == "websocket control" for thread in current_scheduler().threads) <= 1
        raw.lines.close()


@in_thread
def test_ping() -> Steps:
    with serving(echo) as server:
        ws = yield from http.websocket(url(server))
        assert (yield from ws.ping()) >= 0
        reading = newthread(ws.recv)
        assert (yield from ws.ping(b"a")) >= 0
        yield from ws.send("m")
        assert (yield from reading.join()) == "m"
        with pytest.raises(ValueError, match="at most 125 bytes"):
            ws.ping(bytes(126))
        yield from ws.close()
        with pytest.raises(WebSocketClosed):
            yield from ws.ping()


@in_thread
def test_a_pong_behind_a_message(clock: SetClock) -> Steps:
    def script(raw: Raw) -> Steps:
        _, payload = yield from raw.recv()
        clock.time_s += 0.5
        yield from raw.send((TEXT, b"first"), (PONG, b"other"), (PONG, payload))
        assert (yield from raw.recv()) == (CLOSE, closing(1000))
        yield from raw.send((CLOSE, closing(1000)))

    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        pinging = newthread(ws.ping, b"p")
        while not ws.ahead:
            yield from sleep(0)
        with pytest.raises(ValueError, match="on its way"):
            yield from ws.ping(b"p")
        assert not pinging.done
        assert (yield from ws.recv()) == "first"
        assert (yield from pinging.join()) == 0.5
        yield from ws.close()


@in_thread
def test_a_later_pong_answers_the_pings_before_it(clock: SetClock) -> Steps:
    def script(raw: Raw) -> Steps:
        yield from raw.recv()
        yield from raw.recv()
        clock.time_s += 0.5
        yield from raw.send((PONG, b"2"))
        yield from raw.recv()

    with raw_server(script) as address:
        ws = yield from http.websocket(address)
        both = [newthread(ws.ping, b"1"), newthread(ws.ping, b"2")]
        for one in both:
            assert (yield from one.join()) == 0.5
        ws.abort()


@in_thread
def test_a_ping_that_is_not_answered() -> Steps:
    with raw_server(silent) as address:
        ws = yield from http.websocket(address)
        with pytest.raises(TimeoutError):
            yield from ws.ping(timeout_s=0.01)
        assert not ws._pings
        pinging = newthread(ws.ping)
        yield from sleep(0)
        ws.abort()
        with pytest.raises(WebSocketClosed, match="closed by this program"):
            yield from pinging.join()
