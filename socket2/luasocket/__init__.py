"""LuaSocket's face: `from socket2 import luasocket as socket`.

The public names, and nothing else.
"""

from __future__ import annotations

from .messages import Message
from .tcp import TCP, tcp, tcp4, tcp6

__all__ = ["BLOCKSIZE", "TCP", "_DEBUG", "Message", "tcp", "tcp4", "tcp6"]

BLOCKSIZE = 2048
_DEBUG = False
