"""Connections that change to another protocol through a proxy: their bytes go both ways until both sides have ended."""

from __future__ import annotations

from typing import Any

import pytest

import socket2

from ...interop.peers import pattern
from ..client.scripted import OK, Steps, answer
from .scene import BAD_GATEWAY, at_warning, once, through

UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: k\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: Upgrade, X-Mine\r\n"
    b"X-Mine: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: v\r\n\r\n"
)


def switch(peer: Any, data: bytes = b"") -> Steps:
    yield from peer.head()
    yield from peer.send(SWITCHED + data)


def test_bytes_go_both_ways_and_each_direction_has_its_end() -> None:
    big = pattern(20, 500_000)

    def script(peer: Any) -> Steps:
        yield from switch(peer, b"early")
        assert (yield from peer.lines.recvall()) == b"at once" + big
        yield from peer.send(big)

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(UPGRADE + b"at once")
            head = (yield from conn.recvuntil(b"\r\n\r\n")).decode()
            yield from conn.sendall(big)
            conn.shutdown()
            assert (yield from conn.recvall()) == b"early" + big
        return head, scene.heads[0]

    answered, asked = through(test, script)
    assert "\r\nconnection: upgrade\r\n" in asked
    assert "\r\nupgrade: WebSocket\r\n" in asked
    assert "\r\nsec-websocket-key: k\r\n" in asked
    lines = answered.split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert sum(line.startswith("date: ") for line in lines) == 1
    assert {"upgrade: websocket", "connection: upgrade", "sec-websocket-accept: v", "via: 1.1 socket2"} < set(lines)
    assert "x-mine: 1" not in lines


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_one_that_breaks_off_ends_the_other(who: str) -> None:
    def script(peer: Any) -> Steps:
        yield from switch(peer)
        if who == "upstream":
            peer.conn.setopt("linger", 0)
            return
        with pytest.raises(ConnectionResetError):
            while (yield from peer.lines.recv(10)):
                pass
            raise ConnectionResetError  # a plain end is as good
        ended.set()

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(UPGRADE)
            yield from conn.recvuntil(b"\r\n\r\n")
            if who == "upstream":
                assert not (yield from conn.recvall())
            else:
                conn.sock.setopt("linger", 0)
        if who == "client":
            yield from ended.wait()

    ended = socket2.Event()
    through(test, script)


def test_silence_on_both_sides_has_a_limit() -> None:
    def script(peer: Any) -> Steps:
        yield from switch(peer)
        assert not (yield from peer.lines.recvall())

    def test(scene: Any) -> Steps:
        assert (yield from scene.ask(UPGRADE, end=False)).endswith(b"\r\n\r\n")

    through(test, script, upgraded_idle_s=0.02)


def test_an_upstream_need_not_agree() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(answer(b"no", status="426 Upgrade Required"))

    found, _ = once(UPGRADE, script)
    assert found.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert found.endswith(b"no")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket, h2c", b"TLS/1.0"])
def test_other_protocols_are_not_offered(protocol: bytes) -> None:
    """Behind a change to HTTP/2, requests would go past whatever the proxy is to check."""
    _, heads = once(UPGRADE.replace(b"Upgrade: WebSocket", b"Upgrade: " + protocol))
    assert "upgrade" not in heads[0].lower()


def test_a_protocol_that_was_not_offered(caplog: pytest.LogCaptureFixture) -> None:
    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(SWITCHED.replace(b": websocket", b": telnet"))

    with at_warning(caplog):
        assert once(UPGRADE, script)[0].startswith(BAD_GATEWAY)
    assert len(caplog.records) == 1


def test_a_body_and_an_upgrade_do_not_go_together() -> None:
    request = UPGRADE.replace(b"GET", b"POST").replace(b"Host: a\r\n", b"Host: a\r\nContent-Length: 2\r\n")
    _, heads = once(request + b"hi")
    assert "upgrade" not in heads[0]


def test_a_stop_cuts_it_off() -> None:
    def script(peer: Any) -> Steps:
        yield from switch(peer)
        assert not (yield from peer.lines.recvall())

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(UPGRADE)
            yield from conn.recvuntil(b"\r\n\r\n")
            assert (yield from scene.server.stop(0.01)) == 1
            assert not (yield from conn.recvall())

    through(test, script)


def test_a_request_behind_an_upgrade_that_was_refused_is_a_request() -> None:
    def script(peer: Any) -> Steps:
        while (yield from peer.head()):
            yield from peer.send(OK + b"Content-Length: 0\r\n\r\n")

    def test(scene: Any) -> Steps:
        yield from scene.ask(UPGRADE + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [head.partition(" HTTP")[0] for head in scene.heads] == ["GET /chat", "GET /next"]

    through(test, script)
