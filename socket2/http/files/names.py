"""From the path of a URL to the names of files below a directory. What could mean another file has none.

The path is decoded once, after it was split: an encoded slash is part of a name, and no name has a slash. Windows finds
many files under several names; only the plain ones are taken.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

WINDOWS = os.sep == "\\"

# Names that Windows keeps for devices, with any ending; characters that have a meaning there; and short names, such as
# "HTACCE~1" for ".htaccess".
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(?:\..*)?", re.I | re.S
).fullmatch
_UNFIT = re.compile(r'[\x00-\x1f<>:"/\\|?*]|[. ]\Z|~[0-9]').search

# HFS+ finds ".git" under "\u200c.git", too: it ignores these.
_IGNORED = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"

WELL_KNOWN = ".well-known"
"""A name that is public although it begins with a dot. RFC 8615."""


class Names(NamedTuple):
    """`parts`: the names of directories, and last of a file or directory. `slash`: whether it must be a directory."""

    parts: list[str]
    slash: bool


def names_of(path: bytes, windows: bool = WINDOWS) -> Names | None:
    """Return the names that the path of a URL means, None if it cannot mean a file.

    `path`: as it was sent, with percent-encoding. `windows`: whether the rules of Windows apply.
    """
    if not path.startswith(b"/"):
        return None
    parts = []
    *directories, last = path[1:].split(b"/")
    for part in [*directories, last] if last else directories:
        octets = unquote_to_bytes(part)
        if not octets:
            continue
        try:
            name = os.fsdecode(octets) if not windows else octets.decode()
        except UnicodeDecodeError:
            return None
        if octets in (b".", b"..") or b"/" in octets or b"\0" in octets or (windows and not _is_plain(name)):
            return None
        parts.append(name)
    return Names(parts, not last)


def _is_plain(name: str) -> bool:
    return not (_UNFIT(name) or _RESERVED(name))


def is_hidden(name: str) -> bool:
    """Whether the name begins with a dot, as the file system sees it."""
    return name.lstrip(_IGNORED).startswith(".") and name != WELL_KNOWN
