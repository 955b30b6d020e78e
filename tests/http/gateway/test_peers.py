"""Node, nginx and HAProxy behind a proxy, TLS and UNIX paths: nobody disagrees on where a message ends."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http

from ...interop.haproxy import haproxy
from ...interop.peers import LIMIT_S, Program, needs
from ...tls.certificates import Authority
from ...tls.test_nginx import nginx
from ..client.scripted import Server, Steps, always, answer, in_thread
from ..scene import connect, serve
from ..smuggled import REFUSED, TAKEN, chunked
from .scene import CLOSE, once, through

NODE = """
const server = require('http').createServer((request, response) => {
  const pieces = []
  request.on('data', data => pieces.push(data))
  request.on('end', () => response.end(JSON.stringify({method: request.method, target: request.url,
    body: Buffer.concat(pieces).toString('latin1')})))
})
server.listen(process.argv[1], () => console.log('ready'))
"""


@contextmanager
def node(folder: Path) -> Iterator[str]:
    """A server whose answers say what it takes a request for."""
    path = folder / "node"
    with Program([needs("node"), "-e", NODE, str(path)]) as program:
        program.announced("ready")
        yield f"unix:{path}"


@contextmanager
def nginx_upstream(folder: Path) -> Iterator[str]:
    path = folder / "n" / "s"
    with nginx(folder / "n", f'listen unix:{path}; location / {{ return 200 \'{{"target": "$request_uri"}}\'; }}'):
        yield f"unix:{path}"


@contextmanager
def haproxy_to_node(folder: Path) -> Iterator[str]:
    with (
        node(folder) as url,
        haproxy(folder, f" server s unix@{url.removeprefix('unix:')}", mode="http") as (host, port),
    ):
        yield f"http://{host}:{port}"


Upstream = Callable[[Path], AbstractContextManager[str]]
upstreams = pytest.mark.parametrize("upstream", [node, nginx_upstream, haproxy_to_node])


def in_front(upstream: Upstream, folder: Path, client: Any) -> Any:
    with upstream(folder) as url:
        return serve(http.proxy(url), client)


async def answers_on(conn: socket2.Stream) -> list[tuple[int, bytes]]:
    """Return the status and body of each answer."""
    found: list[tuple[int, bytes]] = []
    while True:
        try:
            head = await conn.recvuntil(b"\r\n\r\n")
        except EOFError:
            return found
        if head.startswith(b"HTTP/1.1 100 "):
            continue
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None or b"chunked" in head or b"connection: close" in head, head
        body = b""
        if length is not None:
            body = await conn.recvn(int(length[1]))
        elif b"chunked" in head:
            while size := int(await conn.recvuntil(b"\r\n"), 16):
                body += (await conn.recvn(size + 2))[:-2]
            await conn.recvuntil(b"\r\n")
        else:
            body = await conn.recvall()
        found.append((int(head[9:12]), body))


NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


@upstreams
def test_requests_that_are_refused_reach_nobody(upstream: Upstream, tmp_path: Path) -> None:
    """What follows them on the connection reaches nobody either."""

    async def client(server: socket2.Server) -> None:
        for name, data in REFUSED.items():
            with await connect(server) as conn:
                await conn.sendall(data[:60_000] + NEXT)
                conn.shutdown()
                found = await answers_on(conn)
            assert len(found) <= 1, name
            assert all(400 <= status < 600 and status not in (502, 503, 504) for status, _ in found), name

    in_front(upstream, tmp_path, client)


@upstreams
def test_requests_in_a_pipeline_get_their_own_answers(upstream: Upstream, tmp_path: Path) -> None:
    """Many of them at random, each with a path of its own, over connections that others have used."""
    rng = random.Random(42)
    # These say that the connection ends, or an upstream ends it by an early answer; HAProxy takes 101 fields at most.
    lone = {
        "two in a pipeline",
        "close",
        "asterisk",
        "HTTP/1.0 without a Host",
        "absolute target",
        "Expect",
        "100 fields",
    }
    lone.add("bar and quotes in the query")
    usual = [data for name, data in TAKEN.items() if name not in lone]
    usual += [
        chunked(b"3\r\nGET\r\n0\r\n\r\n"),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + NEXT[:31],
    ]
    usual += [b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + NEXT[:31]]

    async def client(server: socket2.Server) -> None:
        number = 0
        for _ in range(20):
            chosen = rng.choices(usual, k=8)
            paths = [b"/n%d" % (number + n) for n in range(len(chosen))]
            number += len(chosen)
            data = [one.replace(b" / ", b" %b " % path, 1) for one, path in zip(chosen, paths, strict=True)]
            with await connect(server) as conn:
                await conn.sendall(b"".join(data) + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                found = await answers_on(conn)
            assert [json.loads(body)["target"].encode() for _, body in found] == [*paths, b"/last"]

    in_front(upstream, tmp_path, client)


def test_an_upstream_with_tls(authority: Authority) -> None:
    def main() -> Steps:
        wrong = socket2.server_context(authority.issue("a.example"))
        for context, status in ((authority.server(), b"200 OK"), (wrong, b"502 Bad Gateway")):
            upstream = Server([always(answer(b"secret"))], tls=context)
            proxy = http.proxy(upstream.secure_url, tls=authority.client())
            server = socket2.Server(http.handler(proxy))
            yield from server.listen("127.0.0.1", 0)
            with socket2.stream((yield from socket2.connect(*server.addresses[0]))) as conn:
                yield from conn.sendall(CLOSE)
                assert (yield from conn.recvuntil(b"\r\n")) == b"HTTP/1.1 " + status
                yield from conn.recvall()
            yield from server.stop()
            upstream.close()

    in_thread(main)()


def test_upstreams_in_turn_and_by_load() -> None:
    def test(scene: Any) -> Steps:
        for _ in range(6):
            yield from scene.ask(CLOSE)
        assert [len(upstream.heads) for upstream in scene.upstreams] == [2, 2, 2]

    through(test, others=2)

    def stuck(peer: Any) -> Steps:
        yield from peer.request()
        came.set()
        yield from go_on.wait()

    def test_load(scene: Any) -> Steps:
        waiting = socket2.newthread(scene.ask, CLOSE)
        yield from came.wait()
        for _ in range(4):
            assert (yield from scene.ask(CLOSE)).endswith(b"GET /a?b HTTP/1.1")
        assert [len(upstream.heads) for upstream in scene.upstreams] == [1, 4]
        go_on.set()
        yield from waiting.join()

    came, go_on = socket2.Event(), socket2.Event()
    through(test_load, stuck, others=1, balance="least_requests")


def test_health_checks() -> None:
    """The upstream is out after two bad checks, and in again after a good one."""
    status = "503 Service Unavailable"

    def script(peer: Any) -> Steps:
        head = yield from peer.head()
        if head.startswith(b"GET /healthz HTTP/1.1"):
            yield from peer.send(answer(b"", status=status))
        else:
            yield from peer.send(answer(b"sick"))

    def test(scene: Any) -> Steps:
        nonlocal status
        sick, well = scene.proxy.upstreams
        yield from scene.ask(CLOSE)
        scene.proxy._health.interval_s = LIMIT_S  # of each further check: on a busy machine, `well` would fail, too
        while sick.is_well:
            yield from socket2.sleep(0.001)
        for _ in range(3):
            assert (yield from scene.ask(CLOSE)).endswith(b"GET /a?b HTTP/1.1")
        status = "204 No Content"
        while not sick.is_well:
            yield from socket2.sleep(0.001)
        well.is_well = False
        yield from scene.ask(CLOSE)

    through(test, script, others=1, health="/healthz", health_s=0.01)


def test_nobody_is_well() -> None:
    def test(scene: Any) -> Steps:
        scene.proxy.upstreams[0].is_well = False
        assert (yield from scene.ask(CLOSE)).startswith(b"HTTP/1.1 503 ")

    through(test)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"upstreams": []}, "at least one"),
        ({"upstreams": "http://a/path"}, "without more"),
        ({"upstreams": "a:80"}, "URL"),
        ({"balance": "best"}, "balance"),
        ({"host": "mine"}, "host"),
        ({"tries": 0}, "tries"),
        ({"max_requests": 0}, "max_requests"),
        ({"health": "healthz"}, "begins with /"),
        ({"health": "/", "health_s": 0}, "more than 0"),
        ({"name": "a b"}, "name"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"upstreams": "http://a"} | wrong
    with pytest.raises(ValueError, match=words):
        http.proxy(**arguments)


def test_once_more_after_an_idle_time() -> None:
    """Connections that are idle for too long are not used."""
    assert once(CLOSE, idle_s=0.0)[0].endswith(b"GET /a?b HTTP/1.1")
