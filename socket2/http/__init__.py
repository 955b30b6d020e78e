"""HTTP/1.1: `from socket2 import http`. This module holds the public names and nothing else.

The room knows messages and who exchanges them. It uses connections and threads only through their public methods.
Read `messages/` first: it has what HTTP is, without I/O. `serving/` is a server.
"""

from __future__ import annotations

from .messages.bounds import Limits
from .messages.errors import ProtocolError
from .messages.fields import Fields
from .serving.program import handler, serve
from .serving.request import Request

__all__ = ["Fields", "Limits", "ProtocolError", "Request", "handler", "serve"]
