"""LuaSocket's interface: `from socket2 import luasocket as socket`. See docs/luasocket.md.

This room knows what LuaSocket's calls return, and how LuaSocket words errors. It does not know how to wait: a call is
an operation on a socket2 socket, limited by LuaSocket's two timeouts. This module holds the public names and nothing
else.

Read `calls` first; then `messages` and `timeouts`; `objects` and `options`, which all objects share; `transfer` with
`patterns`, `bytestream` and `tcp`; `datagrams` with `udp`; and `unix`. Then `lookup`, `dns`, `readymade`, `select` and
`clock`. Last `results`, for errors as in Lua, and `modes`, `ends` and `ltn12`, for sources and sinks. `ssl` is
LuaSec's interface, which only a program that imports it loads.
"""

from __future__ import annotations

import sys

from ..version import __version__
from . import dns, ltn12
from .calls import take_settings_from
from .clock import gettime, sleep
from .ends import sink, sinkt, source, sourcet
from .messages import Message
from .modes import choose
from .readymade import bind, connect, connect4, connect6
from .results import TryError, newtry, protect, skip, try_
from .select import select
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

# This select() has no limit.
_SETSIZE = sys.maxsize
_SOCKETINVALID = -1

take_settings_from(globals())
