"""Where an application is in the space of URLs, and which requests are none for applications of any interface."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_to_bytes

from ...sockets.address import SocketAddress
from ..messages.errors import ProtocolError
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


def admit(head: RequestHead, body_limit: int | None) -> None:
    """Refuse what needs no application to be refused. Raises ProtocolError."""
    if head.method == "CONNECT":
        raise ProtocolError("CONNECT is not implemented", 501)
    if body_limit is not None and head.body > body_limit:
        raise ProtocolError("the body is too large", 413)


@lru_cache(maxsize=256)
def decoded(path: bytes) -> bytes:
    """Return a path without percent-encoding. Slashes that were encoded become slashes, as for every server."""
    return unquote_to_bytes(path) if b"%" in path else path


def below(root: bytes, path: bytes) -> bytes:
    """Return the part of a path below `root`. A proxy may have removed `root` from the path, or not."""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in (b"", b"/"):
        return path[len(root) :]
    return path


def name_and_port(address: SocketAddress, host_and_port: str, scheme: str) -> tuple[str, int]:
    """Return the host and port of this server. At a UNIX path it is what the client calls it: `host_and_port`."""
    if isinstance(address, tuple):
        return str(address[0]), int(address[1])
    host, colon, port = host_and_port.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = host_and_port, str(DEFAULT_PORTS[scheme])
    return host.strip("[]") or "localhost", int(port)
