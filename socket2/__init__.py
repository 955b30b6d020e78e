"""A coroutine socket stack: threads are generators or `async def`, and whatever waits is yielded from or awaited.

The public names, and nothing else.
"""

from __future__ import annotations

import os as _os

from pollers import Busy, Cancelled, Closed, Operation

from .addr import Address, AddressList, addr
from .loop import epoll_fd, newthread, poll, run, start, stop
from .osthreads import call_in_thread
from .sockets import Socket
from .tcp import TCP, tcp
from .thread import Thread, currentthread
from .udp import RAW, UDP, raw, udp, unix
from .version import __version__
from .waiting import resume, sleep, suspend, timeout

__all__ = [
    "RAW",
    "TCP",
    "UDP",
    "Address",
    "AddressList",
    "Busy",
    "Cancelled",
    "Closed",
    "Operation",
    "Socket",
    "Thread",
    "__version__",
    "addr",
    "call_in_thread",
    "currentthread",
    "epoll_fd",
    "newthread",
    "poll",
    "raw",
    "resume",
    "run",
    "sleep",
    "start",
    "stop",
    "suspend",
    "tcp",
    "timeout",
    "udp",
    "unix",
]

if _os.environ.get("SOCKET2_DEBUG", "") not in ("", "0"):
    from .debug import enable as _enable

    _enable()
