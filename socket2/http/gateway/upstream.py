"""One server behind a proxy: its connections, how many requests it has, and whether it seems to be alive."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pollers

from ...sockets.endpoint import connect_from
from ...sockets.eyeballs import DELAY_S
from ...sockets.tcp import TCP
from ...threads.coroutines import awaiting
from ...threads.lock import lock
from ...threads.loop import now
from ...threads.scheduler import current_scheduler
from ...threads.scope import timeout
from ...tls.layer import TLS
from ..client.dialing import secured
from ..client.url import URL, parse_url
from ..messages.bounds import Limits
from ..messages.clientside import ClientSide
from .lookout import Lookout

if TYPE_CHECKING:
    import ssl

_UNIX = "unix:"
_LIMITS = Limits(head_bytes=64 * 1024, head_fields=200, body_bytes=None)


class Link(pollers.Unique):
    """A connection to an upstream. One request at a time owns it. `used`: how many exchanges it has had."""

    __slots__ = ("idle_since", "side", "sock", "used", "watch")

    def __init__(self, sock: TCP | TLS) -> None:
        self.sock = sock
        self.side = ClientSide(_LIMITS)
        self.watch = Lookout(current_scheduler(), self.close)
        self.used = 0
        self.idle_since = 0.0

    def is_quiet(self) -> Generator[Any, None, bool]:
        """Whether nothing has come on an idle connection, not even its end."""
        self.sock.settimeout(0, "read")
        try:
            yield from awaiting(self.sock.recv(1))
        except TimeoutError:
            self.sock.settimeout(None, "read")
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self.watch.until = None
        self.watch.disarm()
        self.sock.close()


class Upstream(pollers.Unique):
    """`active`: how many requests it has now. `served`, `failed`: how many it has answered, and how many not.

    `failures`: how many in a row. `out_until`: until when it gets no requests, because of them. `is_well`: what the
    latest health checks have found.
    """

    def __init__(self, where: str, tls: ssl.SSLContext | None) -> None:
        """Raises InvalidURL; ValueError for a URL with a path; TypeError."""
        self.name = where
        self.path: str | None = None
        if isinstance(where, str) and where.startswith(_UNIX):
            self.path = where.removeprefix(_UNIX)
            where = "http://localhost"
        self.url: URL = parse_url(where)
        if self.url.target != "/" or self.url.authorization is not None:
            raise ValueError(f"an upstream is a scheme, a host and a port, without more: {self.name!r}")
        self.host = self.url.host_field.encode("ascii")
        self._tls = tls
        self.active = 0
        self.served = 0
        self.failed = 0
        self.failures = 0
        self.out_until = 0.0
        self.is_well = True
        self._idle: list[Link] = []  # the latest one is at the end

    def dial(self, connect_s: float | None) -> Generator[Any, None, Link]:
        """Return a new connection. A cancellation leaves nothing. Raises OSError, TimeoutError."""
        with timeout(connect_s):
            host, port, family = (
                (self.url.host, self.url.port, None) if self.path is None else (self.path, None, "unix")
            )
            sock = yield from connect_from("a proxy", host, port, family, DELAY_S, {})
            if not self.url.is_secure:
                return Link(sock)
            try:
                return Link((yield from secured(sock, self._tls, self.url.host)))
            except BaseException:
                sock.close()
                raise

    # Connections that wait for the next request.

    def take(self, idle_s: float) -> Link | None:
        """Return the latest idle connection, None without one."""
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:  # another OS thread was faster
                break
            if link.idle_since + idle_s > now() and not link.sock.closed:
                return link
            link.close()
        return None

    def keep(self, link: Link, most: int) -> None:
        """Keep a connection whose exchange is over for the next request, or close it."""
        side = link.side
        if side.closing or not side.incoming.empty or link.sock.closed or len(self._idle) >= most:
            link.close()
            return
        try:
            side.next_exchange()
        except RuntimeError:
            link.close()  # the answer came before the end of the request
            return
        link.used += 1
        link.idle_since = now()
        self._idle.append(link)

    def close_idle(self, older_s: float = -1.0) -> None:
        """Close the connections that are idle for longer than `older_s` seconds."""
        oldest = now() - older_s
        for link in [link for link in self._idle if link.idle_since < oldest]:
            try:
                self._idle.remove(link)
            except ValueError:
                continue
            link.close()

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return len(self._idle)

    # Requests and failures.

    def enter(self) -> None:
        with lock:
            self.active += 1

    def leave(self, has_served: bool) -> None:
        with lock:
            self.active -= 1
            if has_served:
                self.served += 1
                self.failures = 0
                self.out_until = 0.0

    def fail(self, failures_max: int, eject_s: float) -> bool:
        """Note a failure. Return whether it has just been taken out."""
        with lock:
            self.failed += 1
            self.failures += 1
            if self.failures < failures_max:
                return False
            was_in = self.out_until <= now()
            self.out_until = now() + eject_s
            return was_in

    def facts(self, time: float) -> dict[str, Any]:
        """Return what it is doing, as JSON data."""
        counts = {name: getattr(self, name) for name in ("active", "idle", "is_well", "served", "failed")}
        return counts | {"upstream": self.name, "is_out": self.out_until > time}

    def __repr__(self) -> str:
        return f"<Upstream {self.name}, {self.active} active, {self.idle} idle>"
