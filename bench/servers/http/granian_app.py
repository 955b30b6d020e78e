"""granian: `granian_app asgi|rsgi`, with one worker that has one OS thread for I/O."""

from __future__ import annotations

import sys
import threading
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from bench.servers import HOST
from bench.servers.http.late import free_port, say_when_ready


async def rsgi(_scope: Any, protocol: Any) -> None:
    protocol.response_str(200, [("content-type", "text/plain; charset=utf-8")], "Hello, world!")


if __name__ == "__main__":
    interface = Interfaces(sys.argv[1])
    target = "bench.servers.http.granian_app:rsgi"
    if interface is not Interfaces.RSGI:
        target = "bench.servers.http.asgi_app:app"
    port = free_port()
    threading.Thread(target=say_when_ready, args=(port,), daemon=True).start()
    Granian(target, HOST, port, interface=interface, backlog=4096, log_access=False, log_level=LogLevels.error).serve()
