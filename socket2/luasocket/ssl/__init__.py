"""LuaSec's interface: `from socket2.luasocket import ssl`. See docs/luasocket.md.

This room knows LuaSec's parameters, results and errors. It does not know how TLS works: `socket2.tls` moves the bytes,
and Python's `ssl` has the cryptography, which is imported with this module. This module holds the public names and
nothing else.

Read `reasons` first, then `options` with `parameters`; `channel` with `connection`; and `x509`.
"""

from __future__ import annotations

from ...version import __version__
from .connection import Connection, wrap
from .options import config
from .parameters import Context, newcontext
from .x509 import Certificate, loadcertificate

__all__ = [
    "_COPYRIGHT",
    "_VERSION",
    "Certificate",
    "Connection",
    "Context",
    "config",
    "loadcertificate",
    "newcontext",
    "wrap",
]

_VERSION = "1.2.0"
_COPYRIGHT = f"LuaSec 1.2.0, by socket2 {__version__}"
