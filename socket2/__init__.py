"""A coroutine socket library. Threads are generators or `async def` functions; they `yield from` or await what waits.

This module holds the public names and nothing else.
"""

from __future__ import annotations

import os as _os
import sys as _sys

from pollers import Busy, Cancelled, Closed, Operation, PacketInfo, bytes_sent

from .files.disk import File, open_file
from .files.fdstream import FdStream, fd_stream, pipe
from .files.standard import stderr, stdin, stdout
from .files.waitable import wait_readable, wait_writable
from .processes.capture import run_process
from .processes.child import Process, process
from .servers.connection import between_requests
from .servers.current import current_server, proxy_header
from .servers.passed import InheritedSockets, inherited_listeners, inherited_sockets
from .servers.program import serve
from .servers.proxyheader import ProxyHeader
from .servers.server import Server
from .servers.supervisor import Workers
from .servers.workers import serve_workers
from .sockets.address import Address, AddressList, SocketAddress, addr, format_address
from .sockets.ancillary import Message
from .sockets.descriptors import recv_fds, send_fds
from .sockets.endpoint import bind
from .sockets.nameinfo import getnameinfo
from .sockets.socket import Socket
from .sockets.tcp import TCP, tcp
from .sockets.udp import RAW, UDP, raw, socketpair, udp, unix
from .streams.buffer import IncompleteRead, LimitExceeded
from .streams.stream import Stream, stream
from .streams.transport import AnyByteStream, ByteStream
from .threads import thread as thread  # its crashhook can be replaced
from .threads.capacity import CapacityLimiter
from .threads.condition import Condition
from .threads.events import Event
from .threads.gathering import first, gather
from .threads.group import threadset
from .threads.jobs import runafter, runat, runevery
from .threads.line import WouldBlock
from .threads.loop import epoll_fd, iocp, kqueue_fd, newthread, now, poll, run, serve_threads, start, stop
from .threads.memory_channel import BrokenChannel, EndOfChannel, Receiver, Sender, channel
from .threads.mutexes import Lock, RLock
from .threads.osthreads import call_in_thread
from .threads.portal import portal
from .threads.queues import PriorityQueue, Queue
from .threads.resolver import Resolver
from .threads.scope import fail_after, move_on_after, scope, timeout
from .threads.semaphores import Semaphore
from .threads.signals import signals
from .threads.sleeping import resume, sleep, suspend
from .threads.thread import Thread, currentthread
from .tls.contexts import client_context, server_context
from .tls.endpoint import TLSListener, connect, listen
from .tls.layer import TLS
from .tls.starttls import starttls
from .version import __version__

__all__ = [
    "RAW",
    "TCP",
    "TLS",
    "UDP",
    "Address",
    "AddressList",
    "AnyByteStream",
    "BrokenChannel",
    "Busy",
    "ByteStream",
    "Cancelled",
    "CapacityLimiter",
    "Closed",
    "Condition",
    "EndOfChannel",
    "Event",
    "FdStream",
    "File",
    "IncompleteRead",
    "InheritedSockets",
    "LimitExceeded",
    "Lock",
    "Message",
    "Operation",
    "PacketInfo",
    "PriorityQueue",
    "Process",
    "ProxyHeader",
    "Queue",
    "RLock",
    "Receiver",
    "Resolver",
    "Semaphore",
    "Sender",
    "Server",
    "Socket",
    "SocketAddress",
    "Stream",
    "TLSListener",
    "Thread",
    "Workers",
    "WouldBlock",
    "__version__",
    "addr",
    "between_requests",
    "bind",
    "bytes_sent",
    "call_in_thread",
    "channel",
    "client_context",
    "connect",
    "current_server",
    "currentthread",
    "epoll_fd",
    "fail_after",
    "fd_stream",
    "first",
    "format_address",
    "gather",
    "getnameinfo",
    "inherited_listeners",
    "inherited_sockets",
    "iocp",
    "kqueue_fd",
    "listen",
    "move_on_after",
    "newthread",
    "now",
    "open_file",
    "pipe",
    "poll",
    "portal",
    "process",
    "proxy_header",
    "raw",
    "recv_fds",
    "resume",
    "run",
    "run_process",
    "runafter",
    "runat",
    "runevery",
    "scope",
    "send_fds",
    "serve",
    "serve_threads",
    "serve_workers",
    "server_context",
    "signals",
    "sleep",
    "socketpair",
    "start",
    "starttls",
    "stderr",
    "stdin",
    "stdout",
    "stop",
    "stream",
    "suspend",
    "tcp",
    "threadset",
    "timeout",
    "udp",
    "unix",
    "wait_readable",
    "wait_writable",
]

_sys.modules[f"{__name__}.thread"] = thread  # for `import socket2.thread`

if _os.environ.get("SOCKET2_DEBUG", "") not in ("", "0"):
    from .debug import enable as _enable

    _enable()
