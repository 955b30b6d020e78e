"""uvloop, callbacks: the asyncio Protocol on uvloop's event loop, the fastest interface of uvloop."""

from __future__ import annotations

import uvloop

from bench.servers.tls.asyncio_protocol import main

if __name__ == "__main__":
    uvloop.run(main())
