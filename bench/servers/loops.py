"""For servers that run in asyncio's loop or in uvloop's: the command line names one of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)
