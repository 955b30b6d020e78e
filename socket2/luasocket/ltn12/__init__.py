"""LTN12: filters, sources, sinks, and pumps between them.

A source is a function that returns (chunk, None), at its end (None, None), on an error (None, err). A sink takes
(chunk, err), with a chunk of None at the end, and returns (1, None) or (None, err). A filter takes a chunk, or None at
the end. It returns a chunk, b"" if it needs more input, or None at its end. A source or sink may be a generator
function or `async def`; those made here are calls. A filter is a plain function. This room knows nothing of sockets.
Read `filter`, `source`, `sink`, `pump`.
"""

from __future__ import annotations

from . import filter, pump, sink, source

__all__ = ["filter", "pump", "sink", "source"]
