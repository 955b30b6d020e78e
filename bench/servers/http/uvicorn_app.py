"""uvicorn: `uvicorn_app LOOP PARSER`, as its options --loop and --http."""

from __future__ import annotations

import socket
import sys

import uvicorn

from bench.servers import HOST
from bench.servers.http.asgi_app import app

if __name__ == "__main__":
    loop, parser = sys.argv[1:]
    config = uvicorn.Config(app, loop=loop, http=parser, access_log=False, log_level="warning", backlog=4096)
    listener = socket.create_server((HOST, 0), backlog=4096)
    print("ready", listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])
