"""http.proxy(): a handler that passes requests on to other servers, and chooses which, and again if one fails."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pollers
from pollers import Operation

from ...servers.connection import current_connection
from ...threads.inventory import enroll
from ...threads.journal import Journal
from ...threads.loop import newthread
from ...threads.scheduler import Scheduler, current_scheduler
from ...threads.scope import move_on_after
from ..messages.fields import field_name
from ..messages.incoming import BLOCK
from ..messages.status import reason_of
from ..serving.exchange import Exchange
from ..serving.request import PLAIN_TEXT, Request
from .balancing import Balance, Balancer
from .checkups import Health
from .hops import hop_of, request_fields
from .transit import ClientLeft, Failure, Manner, Transit
from .upstream import Upstream

if TYPE_CHECKING:
    import ssl
    from typing import Self

log = Journal("socket2.http.proxy")

# A body up to this size is received before the request goes on. So a slow client costs the upstream nothing, and the
# request can be sent to another one.
_WHOLE_MAX = 1 << 16

_CLOSE_OLD_S = 5.0


class Proxy(pollers.Unique):
    """A handler of requests that passes them on. Made by http.proxy().

    `upstreams`: the servers behind it. Each has a `name`; how many requests it has now, `active`; how many it has
    answered, `served`, and how many have `failed`; and whether its health checks say that it `is_well`.
    """

    def __init__(
        self,
        balancer: Balancer,
        manner: Manner,
        *,
        host: Literal["client", "upstream"],
        tries: int,
        failures: int,
        eject_s: float,
        health: Health | None,
    ) -> None:
        self.upstreams = balancer.upstreams
        self._balancer = balancer
        self._manner = manner
        self._keeps_host = host == "client"
        self._tries = tries
        self._failures = failures
        self._eject_s = eject_s
        self._health = health
        self._scheduler: Scheduler | None = None
        self._is_retired = False
        self._served: object = None  # the server whose end closes the idle connections

    def __call__(self, request: Request) -> Generator[Any, None, None]:
        """Answer a request: be the handler."""
        self._settle_in()
        exchange = request.exchange
        head = exchange.head
        if head.method == "CONNECT":
            yield from refuse_tunnel(request)
            return
        body: bytes | None = b""
        if head.body:
            body = None
            if 0 < head.body <= _WHOLE_MAX and not head.expects_continue:
                body = yield from _whole(exchange)
        tried: list[Upstream] = []
        failure: Failure | None = None
        while len(tried) < self._tries:
            upstream = self._balancer.choose(tried)
            if upstream is None:
                break
            host = head.host if self._keeps_host and head.host else upstream.host
            peer = getattr(exchange.below, "remote_address", "")
            wanted = request.host.encode("latin-1")
            hop = hop_of(peer, request.believed, request.scheme, wanted, self._manner.pseudonym)
            has_served = False
            upstream.enter()
            try:
                yield from Transit(self._manner, exchange, request_fields(head, host, hop), body).run(upstream)
                has_served = True
                return
            except Failure as error:
                failure = error
                self._note(request, upstream, error)
            except ClientLeft:
                exchange.broken = True
                raise ConnectionResetError(errno.ECONNRESET, "the client left before the response") from None
            finally:
                upstream.leave(has_served)
            if failure.is_begun:
                exchange.cut()
                exchange.broken = True
                raise ConnectionAbortedError(errno.ECONNABORTED, "the response was cut off by the upstream") from None
            if not failure.may_repeat:
                break
            tried.append(upstream)
        yield from self._apologize(exchange, failure)

    def _note(self, request: Request, upstream: Upstream, failure: Failure) -> None:
        about = {"upstream": upstream.name, "method": request.method, "target": request.target}
        log.warning("%s: %s %s: %s", upstream.name, request.method, request.target, failure.reason, about=about)
        if upstream.fail(self._failures, self._eject_s):
            log.warning(
                "%s gets no requests for %g s, after %d failures", upstream.name, self._eject_s, upstream.failures,
                about={"upstream": upstream.name},
            )  # fmt: skip

    def _apologize(self, exchange: Exchange, failure: Failure | None) -> Generator[Any, None, None]:
        """Answer in place of the upstreams."""
        status = 503 if failure is None else failure.status
        if failure is None:
            log.warning("there is no upstream for a request", about={})
        yield from exchange.respond(status, f"{reason_of(status)}\n".encode(), PLAIN_TEXT)

    # What goes on beside the requests.

    def _settle_in(self) -> None:
        """Begin to look after the upstreams, in the loop of the first request and until its server stops."""
        connection = current_connection.get()
        server = None if connection is None else connection.server
        scheduler = current_scheduler()
        if self._scheduler is scheduler and (server is None or self._served is server):
            return
        if self._scheduler is not scheduler:
            if self._is_in_use():
                raise RuntimeError("this proxy is in use in another loop: make one for each loop")
            self.close()
            self._scheduler = scheduler
            enroll(self)
        self._served = server
        if server is not None:
            newthread(self._look_after, server, name="proxy")

    def _look_after(self, server: Any) -> Generator[Any, None, None]:
        """Check the upstreams' health and close old connections, until the server stops."""
        health = self._health
        interval_s = _CLOSE_OLD_S if health is None else health.interval_s
        try:
            while True:  # see threads/lock.py
                if server.stopping.is_set() or (self._is_retired and not self._is_in_use()):
                    break
                for upstream in self.upstreams:
                    upstream.close_idle(self._manner.idle_s)
                    if health is None:
                        continue
                    health.start(upstream)
                with move_on_after(interval_s):
                    yield from server.stopping.wait()
        finally:
            if self._served is server:
                self._served = None
                self.close()
            if health is not None:
                health.cancel()

    def facts(self) -> dict[str, Any]:
        """Return what the upstreams are doing. For the other rooms of socket2."""
        time = self._scheduler.now() if self._scheduler is not None else 0.0
        return {"upstreams": [upstream.facts(time) for upstream in self.upstreams]}

    def _is_in_use(self) -> bool:
        return any(upstream.active for upstream in self.upstreams)

    def retire(self) -> None:
        """Look after the upstreams no longer than until the present requests have ended. For the other rooms."""
        self._is_retired = True
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use. When the server of its requests stops, this is done for you."""
        for upstream in self.upstreams:
            upstream.close_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Proxy for {', '.join(upstream.name for upstream in self.upstreams)}>"


def refuse_tunnel(request: Request) -> Operation[None]:
    """Answer CONNECT, where there are no tunnels."""
    return request.respond(405, "Method Not Allowed\n", {"allow": "GET, HEAD, POST"})


def _whole(exchange: Exchange) -> Generator[Any, None, bytes]:
    pieces = []
    while piece := (yield from exchange.receive(BLOCK)):
        pieces.append(piece)
    return b"".join(pieces)


def proxy(
    upstreams: str | Sequence[str],
    *,
    balance: Balance = "round_robin",
    host: Literal["client", "upstream"] = "client",
    tries: int = 3,
    max_requests: int | None = None,
    failures: int = 3,
    eject_s: float = 10.0,
    health: str | None = None,
    health_s: float = 5.0,
    connect_s: float | None = 5.0,
    read_s: float = 60.0,
    send_s: float | None = 60.0,
    continue_s: float = 1.0,
    idle: int = 32,
    idle_s: float = 30.0,
    upgrades: Iterable[str] = ("websocket",),
    upgraded_idle_s: float | None = 3600.0,
    tls: ssl.SSLContext | None = None,
    name: str = "socket2",
) -> Proxy:
    """Return a handler that passes requests on: `http.serve(http.proxy(["http://10.0.0.1:8000"]), ":8080")`.

    `upstreams`: URLs with a scheme, a host and a port, or "unix:/path". `tls`: a context for those with https, such as
    client_context() makes. `balance`: "round_robin", or "least_requests". `max_requests`: how many requests one may
    have at a time; if all have so many, the client gets 503. `host`: whose name goes on in the field Host, the
    client's, or that in the URL.

    `tries`: how many upstreams get a request, one after the other, if it fails and may be repeated: no connection could
    be made, or the connection broke before the response, and the method is idempotent. An upstream that has failed
    `failures` times in a row gets no requests for `eject_s` seconds, unless there is no other. `health`: a path to ask
    each upstream for, every `health_s` seconds. One that answers with 400 or more, or not at all, twice in a row, gets
    no requests until it answers again.

    `connect_s`: how long a connection may take, with TLS. `read_s`: how long each wait for the response may take, else
    the client gets 504. `send_s`: how long the upstream may take for each piece of a body. `continue_s`: how long to
    wait for its 100 (Continue). `idle`, `idle_s`: how many unused connections to one upstream are kept, and how long.

    `upgrades`: the protocols that a client may change to, through the proxy. `upgraded_idle_s`: how long such a
    connection may be silent. `name`: of the proxy, in the field Via.

    Raises InvalidURL, TypeError, ValueError for wrong arguments.
    """
    if host not in ("client", "upstream"):
        raise ValueError(f"host must be 'client' or 'upstream', not {host!r}")
    for what, number in (("tries", tries), ("failures", failures)):
        if number < 1:
            raise ValueError(f"{what} must be at least 1, not {number!r}")
    names = [upstreams] if isinstance(upstreams, str) else list(upstreams)
    balancer = Balancer([Upstream(where, tls) for where in names], balance, max_requests)
    manner = Manner(
        pseudonym=field_name(name),
        upgrades=frozenset(field_name(protocol) for protocol in upgrades),
        connect_s=connect_s,
        read_s=read_s,
        send_s=send_s,
        continue_s=continue_s,
        idle=idle,
        idle_s=idle_s,
        upgraded_idle_s=upgraded_idle_s,
    )
    checks = Health(health, health_s) if health is not None else None
    return Proxy(balancer, manner, host=host, tries=tries, failures=failures, eject_s=eject_s, health=checks)
