"""The package `websockets` on the other side, in both roles; Node's client."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2 import http
from tests.interop.peers import LIMIT_S, OSThread, Program, beside, needs, pattern

from ..client.scripted import Steps, in_thread
from .scene import echo, serving, url

pytest.importorskip("websockets", reason="websockets is not installed (pip install websockets)")

import websockets.sync.client
import websockets.sync.server
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

DATA = pattern(7, 200_000)
TEXT = "h\xe9llo " * 20_000


def talk(where: str, compression: str | None) -> None:
    """Be a client in an OS thread."""
    options: dict[str, Any] = {"compression": compression, "proxy": None, "ping_interval": None}
    with websockets.sync.client.connect(where, subprotocols=["b", "a"], **options) as client:  # type: ignore[list-item]
        assert client.subprotocol == "a"
        for message in (TEXT, DATA, "", b"", "short"):
            client.send(message)
            assert client.recv(LIMIT_S) == message
        client.send(iter(["a" * 100, "b", "c" * 100]))
        assert client.recv(LIMIT_S) == "a" * 100 + "b" + "c" * 100
        assert client.ping("ping").wait(LIMIT_S)
    assert client.close_code == 1000
    with websockets.sync.client.connect(where, **options) as client:
        client.send(bytes((1 << 20) + 1))
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(LIMIT_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


@pytest.mark.parametrize("compression", ["deflate", None])
@in_thread
def test_websockets_as_the_client(compression: str | None) -> Steps:
    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket(subprotocols=["a"])
        while (message := (yield from ws.recv())) is not None:
            if isinstance(message, str) and len(message) > 10:
                yield from ws.send(message[:50], last=False)
                yield from ws.send(message[50:])
            else:
                yield from ws.send(message)

    with serving(handler) as server:
        yield from socket2.call_in_thread(talk, url(server), compression)


def answer(client: Any) -> None:
    """Be a server in an OS thread, for one client."""
    try:
        for message in client:
            if message == "close":
                client.close(4000, "as you wish")
            elif isinstance(message, str):
                client.send(iter([message[:10], message[10:]]))
            else:
                client.send(message)
    except ConnectionClosed:
        pass


@pytest.mark.parametrize("compression", ["deflate", None])
@in_thread
def test_websockets_as_the_server(compression: str | None) -> Steps:
    with websockets.sync.server.serve(answer, "127.0.0.1", 0, compression=compression, ping_interval=None) as server:
        thread = OSThread(server.serve_forever)
        thread.start()
        where = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        try:
            ws = yield from http.websocket(where)
            for message in (TEXT, DATA, "a" * 20, b""):
                yield from ws.send(message)
                assert (yield from ws.recv()) == message
            yield from ws.send("frag" * 50, last=False)
            yield from ws.send("ments")
            assert (yield from ws.recv()) == "frag" * 50 + "ments"
            assert (yield from ws.ping()) >= 0
            yield from ws.close(4001, "bye")
            ws = yield from http.websocket(where)
            yield from ws.send("close")
            with pytest.raises(http.WebSocketClosed, match="by the peer: 4000: as you wish"):
                yield from ws.recv()
        finally:
            yield from socket2.call_in_thread(server.shutdown)
            yield from socket2.call_in_thread(thread.outcome)


def stay(where: str) -> int:
    with websockets.sync.client.connect(where, proxy=None, ping_interval=None) as client:
        client.send("here")
        client.recv(LIMIT_S)
        try:
            client.recv(LIMIT_S)
        except ConnectionClosedOK as error:
            assert error.rcvd is not None
            return error.rcvd.code
    return 0


@in_thread
def test_a_stop_is_a_proper_end_for_a_client() -> Steps:
    here = socket2.Event()

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket()
        yield from ws.send((yield from ws.recv()) or "")
        here.set()
        yield from ws.recv()

    with serving(handler) as server, beside(stay, url(server)) as client:
        yield from here.wait()
        assert (yield from server.stop(LIMIT_S)) == 0
        assert (yield from socket2.call_in_thread(client.outcome)) == 1001


NODE = """
const ws = new WebSocket(process.argv[1], ['chat']);
ws.binaryType = 'arraybuffer';
const sent = ['h\\u00e9llo'.repeat(50000), new Uint8Array(100000).fill(7), '', 'last'];
let n = 0;
const next = () => { n < sent.length ? ws.send(sent[n]) : ws.close(4002, 'done'); };
ws.onopen = next;
ws.onmessage = event => {
    const same = typeof sent[n] === 'string' ? event.data === sent[n] : event.data.byteLength === 100000;
    if (!same) { console.log('other', n); process.exit(1); }
    n++;
    next();
};
ws.onclose = event => console.log(ws.protocol, ws.extensions.split(';')[0], event.code, event.reason, event.wasClean);
ws.onerror = event => { console.log('error', event.message); process.exit(1); };
"""


@in_thread
def test_node_as_the_client() -> Steps:
    node = needs("node", "nodejs")
    options = []
    if not knows_websocket(node):
        options = ["--no-warnings", "--experimental-websocket"]
        if not knows_websocket(node, *options):
            pytest.skip("this version of Node has no WebSocket (20.10 has)")
    ended = []

    def handler(request: http.Request) -> Steps:
        ws = yield from request.websocket(subprotocols=["chat"])
        try:
            while (message := (yield from ws.recv())) is not None:
                yield from ws.send(message)
        except http.WebSocketClosed as error:
            ended.append((error.code, error.reason))

    with serving(handler) as server:
        with Program([node, *options, "-e", NODE, url(server)]) as program:
            said = yield from socket2.call_in_thread(program.announced, r".+")
            assert said[0].decode() == "chat permessage-deflate 4002 done true"
            assert (yield from socket2.call_in_thread(program.wait)) == 0
    assert ended == [(4002, "done")]


def knows_websocket(node: str, *options: str) -> bool:
    with Program([node, *options, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]) as program:
        return program.wait() == 0


@in_thread
def test_echoes_of_many_at_once() -> Steps:
    def one(where: str, number: int) -> Steps:
        ws = yield from http.websocket(where, compress=number % 2 == 0)
        for size in range(0, 3000, 100):
            yield from ws.send(DATA[number : number + size])
            assert (yield from ws.recv()) == DATA[number : number + size]
        yield from ws.close()

    with serving(echo) as server:
        where = url(server)
        yield from socket2.gather(*(one(where, number) for number in range(20)))
