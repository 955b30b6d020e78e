"""The network: its clock, what is on the way, the hosts and the links between them.

All chance comes from one Random, and everything that happens is in one order, so the same seed makes the same run. No
set and no dict here is ordered by an address or by the hash of a text. It must not know protocols or sockets.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from .faults import Faults
from .host import Host
from .link import Link
from .surroundings import Trace


class Stuck(RuntimeError):
    """Somebody waits, and nothing will ever happen."""


class World:
    """A network of hosts, and its virtual clock. `wall_s`: the date at its beginning, in seconds since 1970.

        world = World(random.Random(7))
        a, b = world.host("10.0.0.1", "fd00::1", name="a"), world.host("10.0.0.2", name="b")
        world.link(a, b).latency_s = 0.01  # one direction: a Link, whose attributes may change at any time
        poller = a.poller()                # a Poller; its socket() makes what a.socket() makes

    Time moves in advance(), and in a poll() or a blocking call that has to wait, and nowhere else. A program of several
    hosts calls each host's poll(0) until none returns a waiter, and then advance(). Set `faults` and `trace` at any
    time; None costs nothing.
    """

    STARTS_AT_S = 1000.0
    has_signals = False

    def __init__(self, random: Random, *, wall_s: float = 1_750_000_000.0) -> None:
        self.random = random
        self.faults: Faults | None = None
        self.trace: Trace | None = None
        self.calls = 0
        """How many system calls were made."""
        self.cookies = 0
        self.hosts: list[Host] = []
        self.lock: Any = threading.RLock()
        self._now_s = self.STARTS_AT_S
        self._wall_s = wall_s - self.STARTS_AT_S
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0
        self._links: dict[tuple[int, int], Link] = {}
        self._by_address: dict[str, Host] = {}
        self._now_due: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._delivering = False

    # Time.

    def monotonic(self) -> float:
        """Return the virtual time in seconds. It never goes back."""
        return self._now_s

    def wall_s(self) -> float:
        """Return the virtual date, in seconds since 1970."""
        return self._wall_s + self.monotonic()

    def at(self, when_s: float, call: Callable[..., object], *args: Any) -> None:
        """Make a call when the clock says `when_s`. It must not raise."""
        self._serial += 1
        heappush(self._events, (when_s, self._serial, call, args))

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Make a call now, or after those that are being made now, in the order in which they were asked for."""
        if self._delivering:
            self._now_due.append((call, args))
            return
        self._delivering = True
        try:
            call(*args)
            while self._now_due:
                later, its = self._now_due.popleft()
                later(*its)
        finally:
            self._delivering = False

    def next_at(self) -> float | None:
        """Return when the next thing happens, None if nothing is going to."""
        return self._events[0][0] if self._events else None

    def advance(self, until_s: float | None = None) -> bool:
        """Jump to the next thing that happens, and let it happen.

        Returns False if nothing is going to happen, or not before `until_s`; then the clock says `until_s`.
        """
        if not self._events or (until_s is not None and self._events[0][0] > until_s):
            if until_s is not None and until_s > self._now_s:
                self._jump_to(until_s)
            return False
        when_s, _, call, args = heappop(self._events)
        if when_s > self._now_s:
            self._jump_to(when_s)
        self.soon(call, *args)
        return True

    def _jump_to(self, when_s: float) -> None:
        self._now_s = when_s

    def settle(self) -> None:
        """Let happen what is due."""
        while self._events and self._events[0][0] <= self.monotonic():
            self.advance()

    def wait(self, is_over: Callable[[], object], timeout_s: float | None, *, is_poll: bool = False) -> bool:
        """Let time pass until `is_over()` or for `timeout_s` seconds (None: forever). Return whether it is over.

        Raises Stuck if nothing is going to happen, and there is no timeout. `is_poll`: it is a poller that waits.
        """
        until_s = None
        if timeout_s is not None:
            until_s = max(self._now_s + timeout_s, math.nextafter(self._now_s, math.inf))
        while not is_over():
            if not self.advance(until_s):
                if until_s is None:
                    raise Stuck("somebody waits for a socket, and nothing will ever happen")
                return False
        return True

    def stirred(self) -> None:
        """Something has happened to a socket. For worlds that several OS threads use."""

    # The network.

    def host(self, *addresses: str, name: str | None = None) -> Host:
        """Make a host with these addresses, beside 127.0.0.0/8 and ::1. Raises ValueError if one is taken or wrong."""
        known = [str(ipaddress.ip_address(address)) for address in addresses]
        for address in known:
            if address in self._by_address:
                raise ValueError(f"{address} is the address of {self._by_address[address].name}")
        host = Host(self, len(self.hosts), known, name or f"host{len(self.hosts)}")
        self.hosts.append(host)
        self._by_address.update(dict.fromkeys(known, host))
        return host

    def find(self, address: str) -> Host | None:
        """Return the host that has this address."""
        return self._by_address.get(address)

    def link(self, source: Host, target: Host) -> Link:
        """Return the link from `source` to `target`. A new one takes no time and loses nothing."""
        key = source.number, target.number
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(source.name, target.name, self.random)
        return link

    def links(self) -> list[Link]:
        """Return all links that have been used or asked for."""
        return list(self._links.values())
