"""LTN12: filters, sources, sinks, and pumps between them.

A source is a function that returns (chunk, None), at its end (None, None), on an error (None, err). A sink takes
(chunk, err), with a chunk of None for the end, and returns (1, None) or (None, err). A filter takes a chunk, None for
the end, and returns one: b"" when it needs more, None when it is at its end. Sources and sinks may wait: they may be
generator functions or `async def`, and those made here are calls. A filter is a plain function. This room knows no
socket. Read `filter`, `source`, `sink`, `pump`.
"""

from __future__ import annotations

from . import filter, pump, sink, source

__all__ = ["filter", "pump", "sink", "source"]
