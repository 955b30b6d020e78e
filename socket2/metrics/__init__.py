"""Metrics: figures about this process as OpenMetrics text, which Prometheus and its like collect.

This room knows what servers, loops and others count anyway. It counts nothing itself, and does not know how the text is
asked for: `http` answers with it. Read `exposition` first, the text; then `figures`, what is in it; `colleagues`, how
the workers of one server ask each other.
"""

from __future__ import annotations

from .exposition import CONTENT_TYPE
from .figures import figures

__all__ = ["CONTENT_TYPE", "text"]


def text() -> str:
    """Return the figures about this process as OpenMetrics text, with the media type `CONTENT_TYPE`.

    A server of any protocol may answer with it. Any OS thread may call this. It does not ask other workers.
    """
    return figures().text()
