"""One direction of a TCP connection: what is unsent, on the way or not acknowledged, and sending again what was lost.

A segment holds what one push takes, not 1460 bytes. An acknowledgement is no packet: it arrives with the segment, and
is lost only if the way back is down. A lost segment holds up those behind it, since TCP keeps the order.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from .link import Link
from .surroundings import Home, Network

SEGMENT_MAX = 65536
HEADER = 40  # bytes

# RFC 6298; /proc/sys/net/ipv4/tcp_retries2, which gives up after 924.6 s.
RTO_MIN_S, RTO_MAX_S, GIVES_UP_S = 0.2, 120.0, 924.6


class Segment:
    """Data, or a FIN, or the ACK that ends a threeway."""

    __slots__ = ("data", "delivered", "kind", "urgent")

    def __init__(self, kind: str, data: Any = b"", urgent: bool = False) -> None:
        self.kind = kind
        self.data = data
        self.urgent = urgent  # the last byte is
        self.delivered = False


class Sender(Protocol):
    """A TCP socket, as its transmission knows it."""

    state: int
    out: Any

    @property
    def host(self) -> Home: ...
    @property
    def world(self) -> Network: ...
    def arrived(self, segment: Segment, sender: Transmission) -> None: ...
    def acknowledged(self) -> None: ...
    def end_acknowledged(self) -> None: ...
    def gives_up_s(self) -> float: ...
    def room(self) -> int: ...
    def timed_out(self) -> None: ...
    def trace_packet(self, text: str) -> None: ...


class Transmission:
    """What `sock` sends to `peer`."""

    __slots__ = (
        "armed",
        "back",
        "ended",
        "flight",
        "last_at",
        "link",
        "moved_at",
        "peer",
        "retry_s",
        "sock",
        "stalled_since",
        "unacked",
        "undelivered",
        "unsent",
        "urgent_at",
        "world",
    )

    def __init__(self, sock: Sender, peer: Any, link: Link, back: Link) -> None:
        self.sock = sock
        self.peer = peer
        self.link = link
        self.back = back
        self.world = sock.world
        self.unsent = bytearray()
        self.urgent_at = -1  # the index of an urgent byte in `unsent`
        self.ended = False  # a FIN follows `unsent`
        self.flight: deque[Segment] = deque()
        self.unacked = 0  # bytes in flight
        self.undelivered = 0
        self.last_at = 0.0
        self.moved_at = 0.0  # when the receiver last had room
        self.retry_s = RTO_MIN_S
        self.armed = False
        self.stalled_since: float | None = None

    @property
    def queued(self) -> int:
        """How many bytes fill the send buffer."""
        return len(self.unsent) + self.unacked

    def push(self) -> None:
        """Send what the receiver has room for."""
        unsent = self.unsent
        while unsent:
            n = min(len(unsent), self.peer.room() - self.undelivered, SEGMENT_MAX)
            if n <= 0:
                return
            urgent = 0 <= self.urgent_at < n
            if urgent:
                n = self.urgent_at + 1
            data = bytes(unsent[:n])
            del unsent[:n]
            self.moved_at = self.world.monotonic()
            self.urgent_at = -1 if urgent else self.urgent_at - n
            self.begin(Segment("DATA", data, urgent))
        if self.ended:
            self.ended = False
            self.begin(Segment("FIN"))

    def begin(self, segment: Segment) -> None:
        """Send a segment for the first time."""
        first = not self.flight
        self.flight.append(segment)
        n = len(segment.data)
        self.unacked += n
        self.undelivered += n
        if self.link.instant and first and self.world.faults is None:
            self.world.soon(self._arrive, segment)
        elif not self.armed:  # otherwise it waits behind a lost one
            self._launch(segment)

    def _launch(self, segment: Segment) -> None:
        world = self.world
        now_s = world.monotonic()
        delay_s = self.link.delay_s(len(segment.data) + HEADER, now_s)
        if delay_s is None:
            self._lost(segment)
            return
        if world.faults is not None:
            delay_s += world.faults.delay_s(self.link, len(segment.data) + HEADER)
        self.last_at = max(now_s + delay_s, self.last_at)
        if self.last_at > now_s:
            world.at(self.last_at, self._arrive, segment)
        else:
            world.soon(self._arrive, segment)

    def _arrive(self, segment: Segment) -> None:
        if self.sock.state == 0 and not self.flight:
            return  # it was reset meanwhile
        if not self.link.up or not self.peer.host.up:
            self._lost(segment)
            return
        flight = self.flight
        if not segment.delivered:
            if next((one for one in flight if not one.delivered), None) is not segment:
                return  # one before it was lost: it will come again
            segment.delivered = True
            self.undelivered -= len(segment.data)
            if self.world.trace is not None:
                self._trace(segment, "")
            self.peer.arrived(segment, self)
        if not self.back.up:
            self._lost(segment)
            return
        while flight and flight[0].delivered:
            one = flight.popleft()
            self.unacked -= len(one.data)
            if one.kind == "FIN":
                self.sock.end_acknowledged()
            if one is segment:
                break
        self.retry_s = RTO_MIN_S
        self.stalled_since = self.world.monotonic() if self.armed else None
        self.sock.acknowledged()

    def _lost(self, segment: Segment) -> None:
        if self.world.trace is not None:
            self._trace(segment, " lost")
        if self.armed or not self.flight:
            return
        now_s = self.world.monotonic()
        if self.stalled_since is None:
            self.stalled_since = now_s
            self.retry_s = max(RTO_MIN_S, 2 * (self.link.latency_s + self.back.latency_s))
        self.armed = True
        due_s = now_s + self.retry_s
        limit_s = self.sock.gives_up_s()
        self.world.at(min(due_s, max(self.stalled_since + limit_s, now_s + 0.001)), self._retry)

    def _retry(self) -> None:
        self.armed = False
        if not self.flight or self.stalled_since is None:
            return
        if self.world.monotonic() - self.stalled_since >= self.sock.gives_up_s():
            self.sock.timed_out()
            return
        self.retry_s = min(self.retry_s * 2, RTO_MAX_S)
        for segment in list(self.flight):
            if self.armed:
                break
            self._launch(segment)

    def drop(self) -> None:
        """Forget everything that was to be sent."""
        self.unsent.clear()
        self.flight.clear()
        self.unacked = self.undelivered = 0
        self.ended = False

    def _trace(self, segment: Segment, how: str) -> None:
        text = f"{segment.kind} {len(segment.data)}" if segment.data else segment.kind
        self.sock.trace_packet(text + how)
