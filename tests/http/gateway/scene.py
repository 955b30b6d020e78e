"""A proxy between clients that send bytes as they are told, and upstreams that follow scripts, all in one loop."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import socket2
from socket2 import http
from socket2.http import Limits
from socket2.threads.scheduler import current_scheduler

from ...interop.peers import LIMIT_S
from ..client.scripted import Script, Server, Steps, echo
from ..scene import undated


class Scene:
    """`upstreams`: they follow scripts. `proxy`: the handler; `server`: of the proxy."""

    def __init__(self, upstreams: list[Server], proxy: http.Proxy, server: socket2.Server) -> None:
        self.upstreams = upstreams
        self.proxy = proxy
        self.server = server

    @property
    def upstream(self) -> Server:
        return self.upstreams[0]

    @property
    def heads(self) -> list[str]:
        """What the first upstream has got."""
        return self.upstream.heads

    def connect(self) -> Steps:
        conn = yield from socket2.connect(*self.server.addresses[0])
        return socket2.stream(conn)

    def ask(self, *data: bytes, end: bool = True) -> Steps:
        """Send on a connection of its own, and return what comes to its end, without dates."""
        with (yield from self.connect()) as conn:
            try:
                for each in data:
                    yield from conn.sendall(each)
                if end:
                    conn.shutdown()
                return undated((yield from conn.recvall()))
            except ConnectionResetError:
                return b"reset"


def url_of(upstream: Server) -> str:
    return f"http://127.0.0.1:{upstream.port}"


def through(
    test: Any,
    *scripts: Script,
    limits: Limits | None = None,
    trusted: Any = (),
    trusted_fields: Any = ("x-forwarded-for", "x-forwarded-proto"),
    others: int = 0,
    **options: Any,
) -> Any:
    """Run `test(scene)` with one upstream that follows scripts, and `others` that only echo."""

    def main() -> Steps:
        upstreams = [Server(scripts or [echo])] + [Server([echo]) for _ in range(others)]
        proxy = http.proxy([url_of(upstream) for upstream in upstreams], **options)
        handler = http.handler(proxy, limits=limits, trusted=trusted, trusted_fields=trusted_fields)
        server = socket2.Server(handler)
        try:
            with socket2.timeout(LIMIT_S):
                yield from server.listen("127.0.0.1", 0)
                return (yield from test(Scene(upstreams, proxy, server)))
        finally:
            yield from server.stop(0)
            proxy.close()
            for upstream in upstreams:
                upstream.close()
            while len(current_scheduler().threads) > 1:
                yield from socket2.sleep(0)

    return socket2.run(main)


BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\n"

GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def once(request: bytes, *scripts: Script, **options: Any) -> tuple[bytes, list[str]]:
    """Return what comes back for a request, and the heads that the upstream has got."""

    def test(scene: Scene) -> Steps:
        found = yield from scene.ask(request)
        return found, list(scene.heads)

    found: tuple[bytes, list[str]] = through(test, *scripts, **options)
    return found


@contextmanager
def at_warning(caplog: Any) -> Generator[None, None, None]:
    with caplog.at_level("WARNING", logger="socket2.http.proxy"):
        yield
