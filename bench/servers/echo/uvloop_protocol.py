"""uvloop, callbacks: the Protocol of asyncio on uvloop's event loop, uvloop's fastest way."""

from __future__ import annotations

import uvloop

from bench.servers.echo.asyncio_protocol import main

if __name__ == "__main__":
    uvloop.run(main())
