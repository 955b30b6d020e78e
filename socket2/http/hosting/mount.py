"""Where an application is in the space of URLs: the path that it is mounted at, and the address of its server."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_to_bytes

from ...sockets.address import SocketAddress
from ..messages.heads import RequestHead

DEFAULT_PORTS = {"http": 80, "https": 443}


def checked_root(path: str) -> str:
    """Return the path that an application is mounted at, "" for the root. Raises ValueError, TypeError.

    It is written without percent-encoding, as in "/shop".
    """
    if not isinstance(path, str):
        raise TypeError(f"root_path must be a str such as '/shop', not {path!r}")
    path = path.rstrip("/")
    if path and not path.startswith("/"):
        raise ValueError(f"root_path must begin with '/', not {path!r}")
    return path


@lru_cache(maxsize=256)
def decoded(path: bytes) -> bytes:
    """Return a path without percent-encoding. Slashes that were encoded become slashes, as for every server."""
    return unquote_to_bytes(path) if b"%" in path else path


def below(root: bytes, path: bytes) -> bytes:
    """Return the part of a path below `root`. A proxy may have removed `root` from the path, or not."""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in (b"", b"/"):
        return path[len(root) :]
    return path


def name_and_port(address: SocketAddress, head: RequestHead, scheme: str) -> tuple[str, int]:
    """Return the host and port of this server. At a UNIX path it is what the client calls it."""
    if isinstance(address, tuple):
        return str(address[0]), int(address[1])
    host, colon, port = head.host.decode("latin-1").rpartition(":")
    if not colon or not port.isdecimal():
        host, port = head.host.decode("latin-1"), str(DEFAULT_PORTS[scheme])
    return host.strip("[]") or "localhost", int(port)
