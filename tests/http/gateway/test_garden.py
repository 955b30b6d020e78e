"""What a proxy sends on is read by all servers as the requests that it took, and by none as more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http

from ...tls.test_nginx import nginx
from ..scene import connect, serve
from .garden import CASES
from .test_peers import Upstream, answers_on, haproxy_to_node, node


@contextmanager
def nginx_to_node(folder: Path) -> Iterator[str]:
    path = folder / "n" / "s"
    with node(folder) as url:
        pass_on = f"proxy_pass http://{url}:; proxy_http_version 1.1; proxy_set_header Connection '';"
        with nginx(folder / "n", f"listen unix:{path}; location / {{ {pass_on} }}"):
            yield f"unix:{path}"


NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def check(upstream: Upstream, folder: Path) -> None:
    """Send each case, and a request behind it. Then use the connection to the upstream once more."""

    def read(answers: list[tuple[int, bytes]]) -> list[Any]:
        return [json.loads(body) if status == 200 else status for status, body in answers]

    async def talk(server: socket2.Server, data: bytes) -> list[Any]:
        with await connect(server) as conn:
            await conn.sendall(data)
            conn.shutdown()
            return read(await answers_on(conn))

    async def client(server: socket2.Server) -> None:
        wrong = []
        for name, case in CASES.items():
            expected: list[Any] = [
                {"method": method, "target": target, "body": body.decode("latin-1")}
                for method, target, body in case.taken
            ]
            found = await talk(server, case.data + NEXT)
            refusals = [answer for answer in found if isinstance(answer, int)]
            if case.is_refused:
                fits = found[: len(expected)] == expected and all(400 <= status < 502 for status in refusals)
                fits = fits and len(found) <= len(expected) + 1 and len(refusals) >= len(found) - len(expected)
            else:
                fits = found == [*expected, {"method": "GET", "target": "/next", "body": ""}]
            after = await talk(server, NEXT.replace(b"/next", b"/after"))
            if not fits or after != [{"method": "GET", "target": "/after", "body": ""}]:
                wrong.append((name, found, after))
        assert wrong == []

    with upstream(folder) as url:
        serve(http.proxy(url), client)


@pytest.mark.parametrize("upstream", [node, nginx_to_node, haproxy_to_node])
def test_requests_are_what_we_took_them_for(upstream: Upstream, tmp_path: Path) -> None:
    check(upstream, tmp_path)
