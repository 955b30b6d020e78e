"""UNIX datagrams: none is lost, and a full receiver makes its senders wait or fail with EAGAIN. unix(7)."""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Any

from .description import (
    BOTH,
    ERR,
    HUP,
    IN,
    MSG_OOB,
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
from .surroundings import Home
from .unix import Carried, Name, UnixSocket, carried_by, name_of, unpack

SENDS_MAX = 212992
QUEUE_MAX = 10  # /proc/sys/net/unix/max_dgram_qlen
OVERHEAD = 768
_PASSCRED = (socket.SOL_SOCKET, getattr(socket, "SO_PASSCRED", 16))


class _Message:
    __slots__ = ("carried", "charge", "data", "sender", "source")

    def __init__(self, data: bytes, carried: Carried, sender: UnixDatagrams) -> None:
        self.data = data
        self.carried = carried
        self.sender = sender
        self.source: Name | None = sender.bound_to or None
        self.charge = len(data) + OVERHEAD


class UnixDatagrams(UnixSocket):
    """A UNIX socket of the type SOCK_DGRAM."""

    type = 2
    peer: UnixDatagrams | None

    def __init__(self, host: Home) -> None:
        super().__init__(host)
        self.queue: deque[_Message] = deque()
        self.charged = 0
        self.sends_max = SENDS_MAX
        self.refused: list[UnixDatagrams] = []  # senders that found the queue full

    def poll(self) -> int:
        mask = ERR if self.error else 0
        if self.shut & NO_MORE_IN:
            mask |= IN | RDHUP
        if self.shut == BOTH:
            mask |= HUP
        if self.queue:
            mask |= IN
        peer = self.peer
        if 4 * self.charged <= self.sends_max:
            if peer is None or peer.closed or peer.peer is self or len(peer.queue) <= QUEUE_MAX:
                mask |= OUT
            elif self not in peer.refused:
                peer.refused.append(self)
        return mask

    def connect(self, address: Any, wait: bool) -> int:
        name = name_of(address, "connect")
        found = self.host.paths.find(name)
        if not isinstance(found, UnixDatagrams):
            return errno.EPROTOTYPE
        if found.peer is not None and found.peer is not self:
            return errno.EPERM
        if self.peer is not None and self.peer is not found:
            self._forget_queue()
        self.peer = found
        self.credentials = found.own_credentials()
        return 0

    def disconnect(self) -> None:
        self._forget_queue()
        self.peer = None

    def _forget_queue(self) -> None:
        while self.queue:
            self._taken(self.queue.popleft())

    def peername(self) -> Any:
        if self.peer is None:
            fail(errno.ENOTCONN)
        return self.peer.bound_to

    def send(self, data: Any, flags: int, address: Any, control: Any) -> int:
        carried = carried_by(self, control)
        try:
            return self._send(bytes(data), flags, address, carried)
        except BaseException:
            carried.drop()
            raise

    def _send(self, data: bytes, flags: int, address: Any, carried: Carried) -> int:
        if flags & MSG_OOB:
            fail(errno.EOPNOTSUPP)
        if address is not None:
            found = self.host.paths.find(name_of(address, "sendto"))
        elif self.peer is None:
            fail(errno.ENOTCONN)
        else:
            found = self.peer
        if len(data) > self.sends_max - 32:
            fail(errno.EMSGSIZE)
        self.raise_error()
        if self.shut & NO_MORE_OUT:
            fail(errno.EPIPE)
        if found.closed:
            if address is None:
                self.peer = None
            fail(errno.ECONNREFUSED)
        if not isinstance(found, UnixDatagrams):
            fail(errno.EPROTOTYPE)
        if found.peer is not None and found.peer is not self:
            fail(errno.EPERM)
        if found.shut & NO_MORE_IN:
            fail(errno.EPIPE)
        if self.charged and self.charged + len(data) + OVERHEAD > self.sends_max:
            raise again()
        if found is not self and found.peer is not self and len(found.queue) > QUEUE_MAX:
            if self not in found.refused:
                found.refused.append(self)
            raise again()
        if self.options.get(_PASSCRED) and not self.bound_to:
            self.bind("")
        message = _Message(data, carried, self)
        self.charged += message.charge
        found.queue.append(message)
        found.wake(IN)
        return len(data)

    def can_connect(self, address: Any) -> bool:
        return True

    def receive(self, n: int, flags: int, room: int) -> Received:
        if flags & MSG_OOB:
            fail(errno.EOPNOTSUPP)
        self.raise_error()
        if not self.queue:
            if self.shut & NO_MORE_IN:
                return b"", None, 0, []
            raise again()
        message = self.queue[0]
        control, got = unpack(self, message.carried, room, bool(flags & MSG_PEEK))
        if not flags & MSG_PEEK:
            self.queue.popleft()
            self._taken(message)
        if len(message.data) > n:
            got |= MSG_TRUNC
        return message.data[:n], message.source, got, control

    def _taken(self, message: _Message) -> None:
        message.carried.drop()
        sender = message.sender
        sender.charged -= message.charge
        sender.wake(OUT)
        refused, self.refused = self.refused, []
        for other in refused:
            other.wake(OUT)

    def shutdown(self, how: int) -> None:
        added = (NO_MORE_IN, NO_MORE_OUT, BOTH)[how]
        self.shut |= added
        self.wake(0)

    def close(self) -> None:
        super().close()
        self.shut = BOTH
        unread = bool(self.queue)
        self._forget_queue()
        peer = self.peer
        if peer is not None and peer.peer is self and not peer.closed and unread:
            peer.error = errno.ECONNRESET
            peer.wake(0)
        if peer is not None and peer.closed:
            self.peer = peer.peer = None

    def vanish(self) -> None:
        super().vanish()
        self.host.paths.left(self)

    def option_changed(self, level: int, option: int, value: Any) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            self.sends_max = value
