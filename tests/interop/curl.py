"""How tests call curl: without the user's own settings and proxies."""

from __future__ import annotations

from .peers import needs


def command(*args: str) -> list[str]:
    """Return a command for curl, or skip the test."""
    return [needs("curl"), "--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *args]
