"""LuaSocket's face: `from socket2 import luasocket as socket`. See docs/luasocket.md.

This room knows what LuaSocket's calls return, and how it words errors. It does not know how to wait: a call is an
operation on our sockets, limited by LuaSocket's two timeouts. Here are the public names, and nothing else.

Read `calls`, how one call is an operation or done at once; `messages` and `timeouts`; `objects`, what all have in
common; `bytestream` with `patterns` and `tcp`, `datagrams` and `udp`, `unix`. Then `lookup`, `dns`, `shortcuts`,
`select`; last `results`, Lua's way with errors, and `modes`, `ends` and ltn12: sources and sinks.
"""

from __future__ import annotations

import sys

from ..version import __version__
from . import dns, ltn12
from .clock import gettime, sleep
from .ends import sink, sinkt, source, sourcet
from .messages import Message
from .modes import choose
from .results import TryError, newtry, protect, skip, try_
from .select import select
from .shortcuts import bind, connect, connect4, connect6
from .tcp import TCP, tcp, tcp4, tcp6
from .udp import UDP, udp, udp4, udp6
from .unix import UnixDgram, UnixStream, unix

__all__ = [
    "BLOCKSIZE",
    "TCP",
    "UDP",
    "_DATAGRAMSIZE",
    "_DEBUG",
    "_SETSIZE",
    "_SOCKETINVALID",
    "_VERSION",
    "Message",
    "TryError",
    "UnixDgram",
    "UnixStream",
    "bind",
    "choose",
    "connect",
    "connect4",
    "connect6",
    "dns",
    "gettime",
    "ltn12",
    "newtry",
    "protect",
    "select",
    "sink",
    "sinkt",
    "skip",
    "sleep",
    "source",
    "sourcet",
    "tcp",
    "tcp4",
    "tcp6",
    "try_",
    "udp",
    "udp4",
    "udp6",
    "unix",
]

_VERSION = f"LuaSocket 3.1.0, by socket2 {__version__}"

# A program may change these three.
BLOCKSIZE = 2048
_DATAGRAMSIZE = 8192
_DEBUG = False

# select() has no limit here.
_SETSIZE = sys.maxsize
_SOCKETINVALID = -1
