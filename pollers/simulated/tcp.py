"""TCP: the states of a connection, what a receive and a send answer in them, and how it ends.

The handshake is in `threeway`, what is on the way in `transmission`. The order of the checks is that of Linux
(tcp_recvmsg, tcp_sendmsg, tcp_poll, tcp_reset, tcp_close), since it decides which of two errors a program gets.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import Any

from . import threeway
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
    PRI,
    RDHUP,
    Description,
    Received,
    again,
    fail,
)
from .surroundings import Home
from .teardown import CLOSE, CLOSE_WAIT, CONNECTED, ESTABLISHED, LISTEN, SYN_SENT, TIME_WAIT, UNCONNECTED, Ending
from .transmission import Segment, Transmission

# /proc/sys/net/ipv4/tcp_rmem, and what Linux lets a send buffer grow to on the loopback interface.
RECEIVES_MAX = 131072
SENDS_MAX = 2626560
WINDOW = 65536

_RCVBUF = (socket.SOL_SOCKET, socket.SO_RCVBUF)
_SNDBUF = (socket.SOL_SOCKET, socket.SO_SNDBUF)
_OOBINLINE = (socket.SOL_SOCKET, socket.SO_OOBINLINE)


class Tcp(Ending):
    """A TCP socket."""

    protocol = "tcp"
    type = 1

    def __init__(self, host: Home, family: int) -> None:
        super().__init__(host, family)
        self.state = CLOSE
        self.phase = UNCONNECTED
        self.attempts = 0  # to connect
        self.parent: Ending | None = None  # the listener, until the handshake is over
        self.received = bytearray()
        self.window = WINDOW
        self.sends_max = SENDS_MAX
        self.ended = False  # the FIN of the peer has come
        self.mark = -1  # the index in `received` before which the urgent byte stood
        self.urgent: bytes | None = None
        self.out: Transmission | None = None
        self.no_space = False
        self.heard_at = self.world.monotonic()
        # Of a listener:
        self.backlog = 0
        self.queue: deque[Any] = deque()

    @property
    def is_listening(self) -> bool:  # type: ignore[override]
        return self.state == LISTEN

    @property
    def is_waiting_for_time(self) -> bool:  # type: ignore[override]
        return self.state == TIME_WAIT

    # Readiness.

    def poll(self) -> int:
        state = self.state
        if state == LISTEN:
            return IN if self.queue else 0
        shut = self.shut
        mask = HUP if shut == BOTH or state == CLOSE else 0
        if shut & NO_MORE_IN:
            mask |= IN | RDHUP
        if state != SYN_SENT:
            if self.received and len(self.received) >= self.options.get(_LOWAT, 1):
                mask |= IN
            if shut & NO_MORE_OUT or self._has_space():
                mask |= OUT
            else:
                self.no_space = True
            if self.urgent is not None:
                mask |= PRI
        return mask | ERR if self.error else mask

    def _has_space(self) -> bool:
        return self.out is None or 3 * self.out.queued <= 2 * self.sends_max

    def room(self) -> int:
        """Return how many bytes more the receive buffer takes."""
        return self.window - len(self.received)

    # Connecting.

    def may_bind(self) -> bool:
        return self.state == CLOSE and not self.phase

    def listen(self, backlog: int) -> None:
        threeway.listen(self, backlog)

    def connect(self, address: Any, wait: bool) -> int:
        return threeway.connect(self, address)

    def can_connect(self, address: Any) -> bool:
        return self.state != SYN_SENT

    def accept(self) -> tuple[Description, Any]:
        if self.state != LISTEN:
            fail(errno.EINVAL)
        if not self.queue:
            raise again()
        made = self.queue.popleft()
        made.phase = CONNECTED
        return made, made.accepted_from()

    # Receiving.

    def receive(self, n: int, flags: int, room: int) -> Received:
        if flags & MSG_OOB:
            return self._receive_urgent(flags), None, MSG_OOB, []
        if self.state == LISTEN:
            fail(errno.ENOTCONN)
        received = self.received
        if self.mark == 0 and received:
            self._skip_mark(flags)
        if received:
            if self.mark > 0:
                n = min(n, self.mark)
            elif self.world.faults is not None and not flags & MSG_PEEK:
                n = self.short("recv", min(n, len(received)))
            data = b"" if flags & MSG_TRUNC else bytes(received[:n])
            if not flags & MSG_PEEK:
                self._consume(min(n, len(received)))
            return data, None, 0, []
        if self.ended:
            return b"", None, 0, []
        self.raise_error()
        if self.shut & NO_MORE_IN:
            return b"", None, 0, []
        if self.state == CLOSE:
            fail(errno.ENOTCONN)
        if not n:
            return b"", None, 0, []
        raise again()

    def _consume(self, n: int) -> None:
        del self.received[:n]
        if self.mark > 0:
            self.mark -= n
        peer = self.out.peer.out if self.out is not None else None
        if peer is not None and (peer.unsent or peer.ended) and 2 * len(self.received) <= self.window:
            latency_s = self.out.link.latency_s  # type: ignore[union-attr]
            if latency_s:
                self.world.at(self.world.monotonic() + latency_s, peer.push)
            else:
                self.world.soon(peer.push)

    def _skip_mark(self, flags: int) -> None:
        """A receive goes on behind the urgent byte, which is lost then."""
        if not flags & MSG_PEEK:
            self.mark = -1
            self.urgent = None

    def _receive_urgent(self, flags: int) -> bytes:
        if self.options.get(_OOBINLINE) or self.urgent is None:
            fail(errno.EINVAL if self.state != CLOSE or self.ended else errno.ENOTCONN)
        byte = self.urgent
        if not flags & MSG_PEEK:
            self.urgent = None
        return byte

    def arrived(self, segment: Segment, sender: Transmission) -> None:
        """A segment has arrived."""
        self.heard_at = self.world.monotonic()
        state = self.state
        if segment.kind == "ACK":
            threeway.finish(self)
            return
        if state in (CLOSE, TIME_WAIT) or (self.closed and segment.data):
            self.refuse()  # there is nobody any more
            return
        if not segment.data:
            self.peer_ended()
            return
        data = segment.data
        if segment.urgent and not self.options.get(_OOBINLINE):
            self.mark, self.urgent = len(self.received) + len(data) - 1, data[-1:]
            data = data[:-1]
        self.received += data
        self.wake(IN | PRI if segment.urgent else IN)

    # Sending.

    def send(self, data: Any, flags: int, address: Any, control: Any) -> int:
        if self.state not in (ESTABLISHED, CLOSE_WAIT):
            if self.error:
                fail(self.take_error())
            if self.state == SYN_SENT:
                raise again()
            fail(errno.EPIPE)
        if self.error or self.shut & NO_MORE_OUT:
            fail(self.take_error() or errno.EPIPE)
        out = self.out
        assert out is not None
        n = min(len(data), self.sends_max - out.queued)
        if n <= 0 < len(data):
            self.no_space = True
            raise again()
        if self.world.faults is not None and not flags & MSG_OOB:
            n = self.short("send", n)
        out.unsent += data if n == len(data) else data[:n]
        if flags & MSG_OOB and n == len(data):
            out.urgent_at = len(out.unsent) - 1
        out.push()
        if out.unsent and out.stalled_since is None:
            self.watch_stall()
        return n

    def acknowledged(self) -> None:
        """The peer has got some of what was sent."""
        if self.no_space and self._has_space():
            self.no_space = False
            self.wake(OUT)

    def option_changed(self, level: int, option: int, value: Any) -> None:
        if (level, option) == _RCVBUF:
            self.window = max(value // 2, 1)
        elif (level, option) == _SNDBUF:
            self.sends_max = max(value // 2, 1)
        else:
            super().option_changed(level, option, value)


_LOWAT = (socket.SOL_SOCKET, getattr(socket, "SO_RCVLOWAT", 18))
