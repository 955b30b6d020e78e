"""UNIX streams and sequenced packets. A connection is made and its bytes arrive within the call that sends them.

The order of the checks is that of Linux (unix_stream_connect, unix_stream_sendmsg, unix_stream_read_generic,
unix_poll, unix_release_sock).
"""

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
    SEQPACKET,
    STREAM,
    Description,
    Received,
    again,
    fail,
)
from .surroundings import Home
from .unix import Carried, UnixSocket, carried_by, name_of, unpack

SENDS_MAX = 212992
OVERHEAD = 512  # of a message in the send buffer
PIECE_MAX = SENDS_MAX // 2 - 64
_SNDBUF = (socket.SOL_SOCKET, socket.SO_SNDBUF)
BACKLOG_MAX = 4096


class Message:
    """What one send has put into the queue of its receiver."""

    __slots__ = ("carried", "charge", "data", "sender")

    def __init__(self, data: bytearray, carried: Carried | None, sender: UnixStream, charge: int) -> None:
        self.data = data
        self.carried = carried
        self.sender = sender
        self.charge = charge


class UnixStream(UnixSocket):
    """A UNIX socket of the type SOCK_STREAM or SOCK_SEQPACKET."""

    peer: UnixStream | None

    def __init__(self, host: Home, type: int) -> None:
        super().__init__(host)
        self.type = type
        self.queue: deque[Message] = deque()
        self.charged = 0  # bytes that wait at the peer
        self.sends_max = SENDS_MAX
        self.is_listening = False
        self.backlog = 0
        self.waiting: deque[UnixStream] = deque()  # of a listener: connections to accept
        self.was_connected = False

    def poll(self) -> int:
        shut = self.shut
        mask = ERR if self.error else 0
        if shut == BOTH:
            mask |= HUP
        if shut & NO_MORE_IN:
            mask |= IN | RDHUP
        if self.queue or self.waiting:
            mask |= IN
        if self.peer is None and not self.was_connected and not self.is_listening:
            mask |= HUP
        if not self.is_listening and 4 * self.charged <= self.sends_max:
            mask |= OUT
        return mask

    # Connections.

    def listen(self, backlog: int) -> None:
        if not self.bound_to or self.was_connected:
            fail(errno.EINVAL)
        self.is_listening = True
        self.backlog = min(backlog if backlog >= 0 else BACKLOG_MAX, BACKLOG_MAX)
        self.credentials = self.own_credentials()

    def connect(self, address: Any, wait: bool) -> int:
        if self.was_connected:
            return errno.EISCONN
        if self.is_listening:
            return errno.EINVAL
        found = self.host.paths.find(name_of(address, "connect"))
        if found.type != self.type:
            return errno.EPROTOTYPE
        if not isinstance(found, UnixStream) or not found.is_listening or found.shut & NO_MORE_IN:
            return errno.ECONNREFUSED
        if len(found.waiting) > found.backlog:
            return errno.EAGAIN
        made = UnixStream(self.host, self.type)
        made.bound_to = found.bound_to
        made.options.update(found.options)
        join(self, made)
        self.credentials, made.credentials = found.credentials, self.own_credentials()
        found.waiting.append(made)
        found.wake(IN)
        return 0

    def can_connect(self, address: Any) -> bool:
        try:
            found = self.host.paths.find(name_of(address, "connect"))
        except OSError:
            return True
        return not isinstance(found, UnixStream) or len(found.waiting) <= found.backlog

    def accept(self) -> tuple[Description, Any]:
        if not self.is_listening:
            fail(errno.EINVAL)
        if not self.waiting:
            if self.shut & NO_MORE_IN:
                fail(errno.EINVAL)
            raise again()
        made = self.waiting.popleft()
        return made, made.peer.bound_to if made.peer is not None else ""

    def name(self) -> Any:
        return self.bound_to

    def peername(self) -> Any:
        if self.peer is None:
            fail(errno.ENOTCONN)
        return self.peer.bound_to

    # Bytes.

    def send(self, data: Any, flags: int, address: Any, control: Any) -> int:
        carried = carried_by(self, control)
        try:
            if flags & MSG_OOB and self.type == SEQPACKET:
                fail(errno.EOPNOTSUPP)
            if address is not None and self.type == STREAM:
                fail(errno.EISCONN if self.was_connected else errno.EOPNOTSUPP)
            peer = self.peer
            if not self.was_connected or (peer is None and not self.shut):
                fail(errno.ENOTCONN)
            if self.shut & NO_MORE_OUT or peer is None or peer.closed or peer.shut & NO_MORE_IN:
                fail(errno.EPIPE)
            if self.type == SEQPACKET:
                return self._send_packet(data, carried)
            return self._send_bytes(data, carried)
        except BaseException:
            carried.drop()
            raise

    def _send_packet(self, data: Any, carried: Carried) -> int:
        if len(data) > self.sends_max - 32:
            fail(errno.EMSGSIZE)
        if self.charged and self.charged + len(data) + OVERHEAD > self.sends_max:
            raise again()
        self._put(bytearray(data), carried)
        return len(data)

    def _send_bytes(self, data: Any, carried: Carried) -> int:
        if not data:
            carried.drop()
            return 0
        n = len(data)
        if self.world.faults is not None and n > 1:
            n = max(1, min(n, self.world.faults.short(self.host.name, "send", self.describe(), n)))
        sent = 0
        first: Carried | None = carried
        while sent < n:
            if self.charged >= self.sends_max:
                break
            piece = data[sent : min(n, sent + min(PIECE_MAX, max(self.sends_max // 2 - 64, 1)))]
            self._put(bytearray(piece), first)
            first = None
            sent += len(piece)
        if not sent:
            raise again()
        return sent

    def _put(self, data: bytearray, carried: Carried | None) -> None:
        charge = len(data) + OVERHEAD
        self.charged += charge
        assert self.peer is not None
        self.peer.queue.append(Message(data, carried, self, charge))
        self.peer.wake(IN)

    def receive(self, n: int, flags: int, room: int) -> Received:
        if flags & MSG_OOB:
            fail(errno.EINVAL if self.type == STREAM else errno.EOPNOTSUPP)
        if self.is_listening or (not self.was_connected and self.type == STREAM):
            fail(errno.EINVAL)
        if not self.was_connected:
            fail(errno.ENOTCONN)
        if not self.queue:
            self.raise_error()
            if self.shut & NO_MORE_IN:
                return b"", None, 0, []
            raise again()
        if self.type == SEQPACKET:
            return self._receive_packet(n, flags, room)
        if self.world.faults is not None and n > 1 and not flags & MSG_PEEK:
            here = min(n, sum(len(one.data) for one in self.queue))
            n = here if here < 2 else max(1, self.world.faults.short(self.host.name, "recv", self.describe(), here))
        return self._receive_bytes(n, flags, room)

    def _receive_bytes(self, n: int, flags: int, room: int) -> Received:
        """Take bytes of several messages, but none behind a message with descriptors: those bound a receive."""
        peek = bool(flags & MSG_PEEK)
        data = bytearray()
        control: list[tuple[int, int, bytes]] = []
        cut = 0
        for message in list(self.queue):
            carried = message.carried
            rights = carried is not None and carried.rights
            if data and rights:
                break
            piece = message.data[: n - len(data)]
            if not data:
                control, cut = unpack(self, carried, room, peek)
            data += piece
            if not peek:
                del message.data[: len(piece)]
                if not message.data:
                    self.queue.popleft()
                    self._taken(message)
            if len(data) >= n or rights:
                break
        return bytes(data), None, cut, control

    def _receive_packet(self, n: int, flags: int, room: int) -> Received:
        message = self.queue[0]
        control, cut = unpack(self, message.carried, room, bool(flags & MSG_PEEK))
        if not flags & MSG_PEEK:
            self.queue.popleft()
            self._taken(message)
        if len(message.data) > n:
            cut |= MSG_TRUNC
        return bytes(message.data[:n]), None, cut, control

    def _taken(self, message: Message) -> None:
        if message.carried is not None:
            message.carried.drop()
        sender = message.sender
        full = 4 * sender.charged > sender.sends_max
        sender.charged -= message.charge
        if full and 4 * sender.charged <= sender.sends_max:
            sender.wake(OUT)

    # The end.

    def shutdown(self, how: int) -> None:
        added = (NO_MORE_IN, NO_MORE_OUT, BOTH)[how]
        self.shut |= added
        peer = self.peer
        if peer is not None:
            peer.shut |= (added & NO_MORE_IN) << 1 | (added & NO_MORE_OUT) >> 1
            peer.wake(0)
        self.wake(0)

    def close(self) -> None:
        super().close()
        self.shut = BOTH
        unread = bool(self.queue)
        for message in self.queue:
            if message.carried is not None:
                message.carried.drop()
            message.sender.charged -= message.charge
        self.queue.clear()
        peer = self.peer
        if peer is not None and not peer.closed:
            peer.shut = BOTH
            if unread:
                peer.error = errno.ECONNRESET
            peer.wake(0)
        if peer is not None and peer.closed:
            self.peer = peer.peer = None
        for made in self.waiting:
            made.closed = True
            made.abandon()
        self.waiting.clear()

    def abandon(self) -> None:
        """Nobody accepts this connection: the client gets a reset."""
        peer = self.peer
        self.close()
        if peer is not None and not peer.closed:
            peer.error = errno.ECONNRESET
            peer.wake(0)

    def vanish(self) -> None:
        super().vanish()
        self.host.paths.left(self)

    def option_changed(self, level: int, option: int, value: Any) -> None:
        if (level, option) == _SNDBUF:
            self.sends_max = value


def join(one: UnixStream, other: UnixStream) -> None:
    """Connect two sockets."""
    one.peer, other.peer = other, one
    one.was_connected = other.was_connected = True
