"""The programs that are tried: each is a process that serves, and says on which port."""

from __future__ import annotations

import ast
import os
import sys
from typing import Any

import socket2
from socket2 import http

BLOCK = bytes(1 << 16)
begun = 0


def ready(server: Any) -> None:
    print("port", server.addresses[0][1], flush=True)


async def answer(request: http.Request) -> None:
    """Say who has answered. `/work` takes a while, `/connections` counts them, and `/drop` counts a body."""
    global begun
    begun += 1
    said = f"{os.getpid()}"
    if request.path == "/work":
        await socket2.sleep(0.005)
    elif request.path == "/connections":
        said = f"{socket2.current_server().connections}"
    elif request.path == "/drop":
        size = 0
        while data := await request.recv(1 << 16):
            size += len(data)
        said = f"{size}"
    elif request.path == "/bytes":
        left = int(request.query)
        await request.start(200, length=left)
        while left:
            await request.send(BLOCK[:left])
            left -= min(left, len(BLOCK))
        return
    else:
        said += f" {len(await request.read())}"
    await request.respond(200, said)


if __name__ == "__main__":
    options = ast.literal_eval(sys.argv[1])
    limits = http.Limits(**options.pop("limits", {}))
    upstream = options.pop("upstream", None)
    handler = answer if upstream is None else http.proxy(upstream)
    http.serve(handler, "127.0.0.1", 0, limits=limits, ready=ready, **options)
    print("begun", begun, flush=True)
