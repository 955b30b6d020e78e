"""What causes each message of a proxy. For tests/test_logging.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import socket2
from socket2 import http

from ...interop.peers import refusing_port
from ..client.scripted import Steps, answer
from ..scene import ask, serve
from .scene import CLOSE, through


def _ask(scene: Any) -> Steps:
    yield from scene.ask(CLOSE)


def _silent(peer: Any) -> Steps:
    yield from peer.request()


def an_upstream_fails(_: object) -> None:
    through(_ask, _silent)


def an_upstream_is_taken_out(_: object) -> None:
    through(_ask, _silent, failures=1)


def there_is_no_upstream(_: object) -> None:
    def test(scene: Any) -> Steps:
        scene.proxy.upstreams[0].is_well = False
        yield from scene.ask(CLOSE)

    through(test)


def an_upstream_becomes_well_again(_: object) -> None:
    """It fails a request and two checks, and succeeds in all that follow."""
    answers = iter(["503 x"] * 3)

    def script(peer: Any) -> Steps:
        yield from peer.request()
        yield from peer.send(answer(status=next(answers, "200 OK")))

    def test(scene: Any) -> Steps:
        (upstream,) = scene.proxy.upstreams
        yield from scene.ask(CLOSE)
        for is_well in (False, True):
            while upstream.is_well is not is_well:
                yield from socket2.sleep(0.001)

    through(test, script, health="/healthz", health_s=0.01)


def a_tunnel_cannot_be_dug(_: object) -> None:
    async def client(server: socket2.Server) -> None:
        await ask(server, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: a\r\n\r\n" % refusing_port())

    serve(http.forward_proxy(lambda *_: True), client)


CAUSES: dict[str, Callable[[object], None]] = {
    "TARGET: ERROR": a_tunnel_cannot_be_dug,
    "UPSTREAM: METHOD": an_upstream_fails,
    "UPSTREAM gets": an_upstream_is_taken_out,
    "UPSTREAM fails": an_upstream_becomes_well_again,
    "UPSTREAM is well": an_upstream_becomes_well_again,
    "there is no upstream": there_is_no_upstream,
}
"""By the first words of their rows in docs/logging.md."""
