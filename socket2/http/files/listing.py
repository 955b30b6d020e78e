"""The page that lists a directory. Names are anything: in the page they are text, and in links percent-encoded."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from urllib.parse import quote

NAMES_MAX = 10_000
"""How many names a page has."""

FIELDS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"cache-control", b"no-cache"),
]


def page(path: str, entries: Iterable[tuple[str, bool]], parent: bool) -> bytes:
    """Return a page in HTML and UTF-8. `path`: of the directory; `parent`: whether to link to the one above."""
    title = _shown(f"Files in {path}")
    lines = ["<!DOCTYPE html>", '<meta charset="utf-8">', f"<title>{title}</title>", f"<h1>{title}</h1>", "<ul>"]
    if parent:
        lines.append('<li><a href="../">../</a>')
    for name, is_directory in sorted(entries):
        slash = "/" * is_directory
        lines.append(f'<li><a href="./{quote(os.fsencode(name), safe="")}{slash}">{_shown(name)}{slash}</a>')
    return "\n".join([*lines, "</ul>", ""]).encode()


def _shown(name: str) -> str:
    return html.escape(os.fsencode(name).decode(errors="replace"))
