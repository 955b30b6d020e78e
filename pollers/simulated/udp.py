"""UDP: datagrams that may be lost, doubled, late or too long, ICMP errors, multicast and control data.

An error of the network comes only to a connected socket, by its next call: udp(7). Who receives what arrives, and by
which control data, is in `datagrams`.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Any

from . import datagrams, numeric
from .datagrams import Datagram, Receiver
from .description import (
    AF_INET,
    BOTH,
    ERR,
    HUP,
    IN,
    MSG_PEEK,
    MSG_TRUNC,
    NO_MORE_IN,
    NO_MORE_OUT,
    OUT,
    RDHUP,
    Received,
    again,
    fail,
)
from .numeric import Endpoint
from .surroundings import Home

_BROADCAST = (socket.SOL_SOCKET, socket.SO_BROADCAST)
_RCVBUF = (socket.SOL_SOCKET, socket.SO_RCVBUF)
PAYLOAD_MAX, PAYLOAD6_MAX = 65507, 65527

# What a datagram needs of the receive buffer beside its bytes: the truesize of Linux.
OVERHEAD = 768
RECEIVES_MAX = 212992


class Udp(Receiver):
    """A UDP socket."""

    protocol = "udp"
    type = 2

    def __init__(self, host: Home, family: int) -> None:
        super().__init__(host, family)
        self.queue: deque[Datagram] = deque()
        self.queued = 0  # bytes, with overhead
        self.groups = []

    def poll(self) -> int:
        mask = OUT
        if self.error:
            mask |= ERR
        if self.shut & NO_MORE_IN:
            mask |= IN | RDHUP
        if self.shut == BOTH:
            mask |= HUP
        return mask | IN if self.queue else mask

    def connect(self, address: Any, wait: bool) -> int:
        ip, port = self.target(address, "connect")
        if ip == "255.255.255.255" and not self.options.get(_BROADCAST):
            return errno.EACCES
        source = self.host.source_for(ip) if self.local[0] in ("0.0.0.0", "::") or not self.chose_address else None
        if source is None and not self.chose_address:
            return errno.ENETUNREACH
        if not self.has_port:
            self.take_port(self.local[0])
        if source is not None:
            self.local = (source, self.local[1])
        self.remote = (ip, port)
        self.shut = 0
        return 0

    def can_connect(self, address: Any) -> bool:
        return True

    def disconnect(self) -> None:
        self.remote = None
        if not self.chose_address:
            self.local = ("0.0.0.0" if self.family == AF_INET else "::", self.local[1])
        if not self.chose_port and self.has_port:
            self.leave_port()
            self.local = (self.local[0], 0)

    def may_bind(self) -> bool:
        return self.remote is None or not self.has_port

    def send(self, data: Any, flags: int, address: Any, control: Any) -> int:
        if len(data) > (PAYLOAD_MAX if self.family == AF_INET else PAYLOAD6_MAX):
            fail(errno.EMSGSIZE)
        if address is not None:
            target = self.target(address, "sendto")
            if not target[1]:
                fail(errno.EINVAL)
        elif self.remote is None:
            fail(errno.EDESTADDRREQ)
        else:
            target = self.remote
        if self.shut & NO_MORE_OUT:
            fail(errno.EPIPE)
        self.raise_error()
        if target[0] == "255.255.255.255" and not self.options.get(_BROADCAST):
            fail(errno.EACCES)
        datagrams.send(self, bytes(data), target, control or ())
        return len(data)

    def receive(self, n: int, flags: int, room: int) -> Received:
        self.raise_error()
        if not self.queue:
            if self.shut & NO_MORE_IN and self.waits:
                return b"", None, 0, []
            raise again()
        one = self.queue[0] if flags & MSG_PEEK else self.queue.popleft()
        if not flags & MSG_PEEK:
            self.queued -= len(one.data) + OVERHEAD
        got = MSG_TRUNC if len(one.data) > n else 0
        control = datagrams.control_of(self, one) if room else []
        control, cut = datagrams.fitting(control, room)
        return one.data[:n], numeric.shown(self.family, one.source), got | cut, control

    waits = False

    def arrived(self, one: Datagram) -> None:
        limit: int = self.options.get(_RCVBUF, RECEIVES_MAX)
        if self.queued and self.queued + len(one.data) + OVERHEAD > limit:
            return
        self.queue.append(one)
        self.queued += len(one.data) + OVERHEAD
        self.wake(IN)

    def unreachable(self, error: int, target: Endpoint) -> None:
        if self.remote == target and not self.closed:
            self.error = error
            self.wake(ERR)

    def shutdown(self, how: int) -> None:
        self.shut |= (NO_MORE_IN, NO_MORE_OUT, BOTH)[how]
        self.wake(0)
        if self.remote is None:
            fail(errno.ENOTCONN)

    def close(self) -> None:
        self.leave_port()
        self.queue.clear()

    def option_changed(self, level: int, option: int, value: Any) -> None:
        datagrams.change_group(self, level, option, value)
