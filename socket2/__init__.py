"""A coroutine socket stack: threads are generators or `async def`, and whatever waits is yielded from or awaited.

The public names, and nothing else.
"""

from __future__ import annotations

import os as _os

from pollers import Busy, Cancelled, Closed, Operation, bytes_sent

from .addr import Address, AddressList, addr
from .buffer import IncompleteRead, LimitExceeded
from .connections import between_requests
from .descriptors import recv_fds, send_fds
from .endpoint import bind, connect, listen
from .jobs import runafter, runat, runevery
from .listeners import inherited_listeners
from .loop import epoll_fd, iocp, kqueue_fd, newthread, poll, run, serve_threads, start, stop
from .osthreads import call_in_thread
from .server import Server
from .serving import serve
from .sockets import Socket
from .stream import Stream, stream
from .supervisor import Workers
from .sync import Event, Lock, Queue, Semaphore
from .tcp import TCP, tcp
from .thread import Thread, currentthread
from .threadset import threadset
from .udp import RAW, UDP, raw, udp, unix
from .version import __version__
from .waiting import resume, sleep, suspend, timeout
from .workers import serve_workers

__all__ = [
    "RAW",
    "TCP",
    "UDP",
    "Address",
    "AddressList",
    "Busy",
    "Cancelled",
    "Closed",
    "Event",
    "IncompleteRead",
    "LimitExceeded",
    "Lock",
    "Operation",
    "Queue",
    "Semaphore",
    "Server",
    "Socket",
    "Stream",
    "Thread",
    "Workers",
    "__version__",
    "addr",
    "between_requests",
    "bind",
    "bytes_sent",
    "call_in_thread",
    "connect",
    "currentthread",
    "epoll_fd",
    "inherited_listeners",
    "iocp",
    "kqueue_fd",
    "listen",
    "newthread",
    "poll",
    "raw",
    "recv_fds",
    "resume",
    "run",
    "runafter",
    "runat",
    "runevery",
    "send_fds",
    "serve",
    "serve_threads",
    "serve_workers",
    "sleep",
    "start",
    "stop",
    "stream",
    "suspend",
    "tcp",
    "threadset",
    "timeout",
    "udp",
    "unix",
]

if _os.environ.get("SOCKET2_DEBUG", "") not in ("", "0"):
    from .debug import enable as _enable

    _enable()
