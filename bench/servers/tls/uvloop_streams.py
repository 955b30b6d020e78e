"""uvloop, streams: the streams of asyncio on uvloop's event loop."""

from __future__ import annotations

import uvloop

from bench.servers.tls.asyncio_streams import main

if __name__ == "__main__":
    uvloop.run(main())
