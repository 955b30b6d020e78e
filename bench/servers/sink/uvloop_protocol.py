"""uvloop: the asyncio protocol server on uvloop's event loop."""

from __future__ import annotations

import uvloop

from bench.servers.sink.asyncio_protocol import main

if __name__ == "__main__":
    uvloop.run(main())
