"""How a TCP connection ends: FIN, RST, silence. The lower half of `tcp`."""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from typing import Any

from .description import BOTH, NO_MORE_IN, NO_MORE_OUT, fail
from .inet import Inet, text_of
from .transmission import GIVES_UP_S, Transmission

CLOSE, LISTEN, SYN_SENT, ESTABLISHED, CLOSE_WAIT = 0, 1, 2, 3, 4
FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK, TIME_WAIT = 5, 6, 7, 8, 9

# Whether connect(2) has returned the outcome.
UNCONNECTED, CONNECTING, CONNECTED = 0, 1, 2

# TCP_TIMEWAIT_LEN, and /proc/sys/net/ipv4/tcp_fin_timeout
TIME_WAIT_S = FIN_TIMEOUT_S = 60.0

_LINGER = (socket.SOL_SOCKET, socket.SO_LINGER)
_KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
_TCP = socket.IPPROTO_TCP
_KEEPIDLE = (_TCP, getattr(socket, "TCP_KEEPIDLE", 4))
_KEEPINTVL = (_TCP, getattr(socket, "TCP_KEEPINTVL", 5))
_KEEPCNT = (_TCP, getattr(socket, "TCP_KEEPCNT", 6))
_USER_TIMEOUT = (_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18))

KEEPS = {_KEEPIDLE: 7200, _KEEPINTVL: 75, _KEEPCNT: 9}


class Ending(Inet):
    """A connection, as far as it ends."""

    state: int
    phase: int
    attempts: int
    backlog: int
    parent: Ending | None
    window: int
    sends_max: int
    received: bytearray
    ended: bool
    out: Transmission | None
    heard_at: float
    queue: deque[Any]
    _probes = 0
    _watching = False

    def peername(self) -> Any:
        if self.state in (CLOSE, LISTEN, SYN_SENT):
            fail(errno.ENOTCONN)
        return super().peername()

    def accepted_from(self) -> Any:
        return super().peername()

    # By this side.

    def shutdown(self, how: int) -> None:
        if self.state == LISTEN:
            if how != socket.SHUT_WR:
                self._stop_listening()
            return
        if self.state in (CLOSE, SYN_SENT, TIME_WAIT):
            if self.state == SYN_SENT:
                self.abort()
                self.shut = BOTH
                self.wake(0)
                return
            fail(errno.ENOTCONN)
        added = (NO_MORE_IN, NO_MORE_OUT, BOTH)[how]
        if added & NO_MORE_OUT and not self.shut & NO_MORE_OUT:
            self.end()
        self.shut |= added
        self.wake(0)

    def end(self) -> None:
        """Send a FIN behind the data."""
        assert self.out is not None
        if self.state == ESTABLISHED:
            self.state = FIN_WAIT1
        elif self.state == CLOSE_WAIT:
            self.state = LAST_ACK
        else:
            return
        self.out.ended = True
        self.out.push()

    def close(self) -> None:
        if self.state == LISTEN:
            self._stop_listening()
            self.leave_port()
        elif self.state in (CLOSE, SYN_SENT):
            self.abort()
        else:
            on, seconds = struct.unpack("ii", self.options.get(_LINGER, bytes(8)))
            if self.received or (on and not seconds):
                self.refuse()
                self.abort()
            else:
                self.end()
                if self.state == FIN_WAIT2:
                    self._forget_later()

    def abort(self) -> None:
        """Be closed at once, without a packet."""
        if self.out is not None:
            self.out.drop()
        self._be_closed()

    def _be_closed(self) -> None:
        self.state = CLOSE
        if self.closed or not self.chose_port:
            self.leave_port()
        if self.out is not None and self.closed:
            peer = self.out.peer
            if peer.closed and peer.state == CLOSE:  # no packet will be sent any more
                self.out = peer.out = None

    def _stop_listening(self) -> None:
        self.state = CLOSE
        queue = list(self.queue)
        self.queue.clear()
        for made in queue:
            made.closed = True
            made.refuse()
            made.abort()
        self.wake(0)

    def end_acknowledged(self) -> None:
        """The peer has got our FIN."""
        if self.state == FIN_WAIT1:
            self.state = FIN_WAIT2
            if self.closed:
                self._forget_later()
        elif self.state == CLOSING:
            self._wait_for_time()
        elif self.state == LAST_ACK:
            self._done()

    def _forget_later(self) -> None:
        def forget() -> None:
            if self.state == FIN_WAIT2:
                self.abort()

        self.world.at(self.world.monotonic() + FIN_TIMEOUT_S, forget)

    def _wait_for_time(self) -> None:
        """Both ends have ended, and this one was first: its port stays in use for a while."""
        self.state = TIME_WAIT
        self.shut = BOTH
        self.world.at(self.world.monotonic() + TIME_WAIT_S, self._time_is_over)
        self.wake(0)

    def _time_is_over(self) -> None:
        if self.state == TIME_WAIT:
            self._be_closed()

    def _done(self) -> None:
        self.shut = BOTH
        self._be_closed()
        self.wake(0)

    # By the peer.

    def peer_ended(self) -> None:
        """A FIN has come."""
        self.ended = True
        self.shut |= NO_MORE_IN
        if self.state == ESTABLISHED:
            self.state = CLOSE_WAIT
        elif self.state == FIN_WAIT1:
            self.state = CLOSING
        elif self.state == FIN_WAIT2:
            self._wait_for_time()
            return
        self.wake(0)

    def refuse(self) -> None:
        """Send a reset to the peer."""
        out = self.out
        if out is None or not self.host.up:
            return
        now_s = self.world.monotonic()
        delay_s = out.link.delay_s(40, now_s)
        if self.world.trace is not None:
            self.trace_packet("RST" if delay_s is not None else "RST lost")
        if delay_s is None:
            return
        if delay_s or out.last_at > now_s:
            self.world.at(max(now_s + delay_s, out.last_at), out.peer.was_reset, out.link)
        else:
            self.world.soon(out.peer.was_reset, out.link)

    def was_reset(self, link: Any = None) -> None:
        """A reset has come. What has arrived before can still be received."""
        if self.state in (CLOSE, LISTEN) or (link is not None and not link.up) or not self.host.up:
            return
        if self.state == TIME_WAIT:
            return
        self.fail_with({SYN_SENT: errno.ECONNREFUSED, CLOSE_WAIT: errno.EPIPE}.get(self.state, errno.ECONNRESET))

    def timed_out(self) -> None:
        """Nothing was heard from the peer for too long."""
        self.fail_with(errno.ETIMEDOUT)

    def fail_with(self, error: int) -> None:
        self.error = error
        if self.out is not None:
            self.out.drop()
        self.shut = BOTH
        self._be_closed()
        self.wake(0)

    def vanish(self) -> None:
        super().vanish()
        for made in self.queue:
            made.vanish()
        if self.out is not None:
            self.out.drop()
        self.state = CLOSE

    # Silence.

    def gives_up_s(self) -> float:
        """Return after how many seconds without an acknowledgement the connection is given up."""
        limit_ms = self.options.get(_USER_TIMEOUT)
        return limit_ms / 1000 if limit_ms else GIVES_UP_S

    def watch_stall(self) -> None:
        """The peer has no room. TCP_USER_TIMEOUT ends the connection if that lasts: tcp(7)."""
        if self.options.get(_USER_TIMEOUT) and not self._watching and self.out is not None:
            self._watching = True
            now_s = self.world.monotonic()
            self.world.at(now_s + max(self.gives_up_s(), 0.2), self._still_stalled, now_s)

    def _still_stalled(self, since: float) -> None:
        self._watching = False
        out = self.out
        if out is None or not out.unsent or self.state == CLOSE or not self.options.get(_USER_TIMEOUT):
            return
        if out.moved_at <= since:
            self.refuse()
            self.timed_out()
        else:
            self.watch_stall()

    def keep_alive(self) -> None:
        """Probe the peer when nothing has been heard of it for a while, if SO_KEEPALIVE is set."""
        if self.state in (ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2) and not self._keeping:
            self._keeping = True
            self.world.at(self.heard_at + self._kept(_KEEPIDLE), self._probe)

    _keeping = False

    def _kept(self, option: tuple[int, int]) -> int:
        value: int = self.options.get(option, KEEPS[option])
        return value

    def _probe(self) -> None:
        self._keeping = False
        out = self.out
        if out is None or self.state == CLOSE or self.closed or not self.options.get(_KEEPALIVE):
            return
        now_s = self.world.monotonic()
        if now_s - self.heard_at < self._kept(_KEEPIDLE) - 1e-6:
            self._probes = 0
            self.keep_alive()
            return
        if out.link.up and out.back.up and out.peer.host.up:
            if out.peer.state == CLOSE:
                self.was_reset()
                return
            self.heard_at = now_s
            self._probes = 0
            self.keep_alive()
            return
        self._probes += 1
        if self._probes > self._kept(_KEEPCNT):
            self.timed_out()
            return
        self._keeping = True
        self.world.at(now_s + self._kept(_KEEPINTVL), self._probe)

    def option_changed(self, level: int, option: int, value: Any) -> None:
        if (level, option) == _KEEPALIVE and value:
            self.keep_alive()
        elif (level, option) == _USER_TIMEOUT and self.out is not None and self.out.unsent:
            self.watch_stall()

    # Faults and the trace.

    def may_be_reset(self, call: str) -> None:
        faults = self.world.faults
        if faults is None or self.out is None or self.state in (CLOSE, LISTEN, SYN_SENT, TIME_WAIT):
            return
        if faults.reset(self.host.name, call, self.describe()):
            peer = self.out.peer
            self.trace_packet("RST by a fault")
            self.was_reset()
            peer.was_reset()

    def unacknowledged(self) -> bool:
        return self.out is not None and bool(self.out.flight or self.out.unsent)

    def short(self, call: str, n: int) -> int:
        faults = self.world.faults
        assert faults is not None
        return n if n < 2 else max(1, min(n, faults.short(self.host.name, call, self.describe(), n)))

    def trace_packet(self, text: str, *, comes: bool = False) -> None:
        """Tell the trace of a packet that this socket sends; `comes`: of one to it."""
        if self.world.trace is not None and self.remote is not None:
            ends = text_of(self.local), text_of(self.remote)
            source, target = ends[::-1] if comes else ends
            self.world.trace(self.world.monotonic(), "packet", source, target, f"tcp {text}")
