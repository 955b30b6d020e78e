"""What the sockets of the simulated kernel know of their host, of the network, and of those who watch them.

`host` and `world` import the sockets. To avoid a circle of imports, sockets know only the protocols in this module.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from .faults import Faults
from .link import Link

Trace = Callable[[float, str, str, str, str], object]
"""Called as trace(seconds, kind, source, target, text). `kind` is "call" or "packet".

For a call, the source is the host, the target the socket. For a packet they are the numeric.
"""


class Watcher(Protocol):
    """The registration of a description with a poller."""

    bits: int
    queued: bool

    def notice(self) -> None:
        """Something has happened. Look at it before the next wait."""

    def drop(self) -> None:
        """The description is closed."""


class Network(Protocol):
    """The world, as sockets know it. See World."""

    calls: int
    cookies: int
    faults: Faults | None
    lock: Any
    random: Random
    trace: Trace | None
    has_signals: bool

    @property
    def hosts(self) -> Any: ...
    def monotonic(self) -> float: ...
    def wall_s(self) -> float: ...
    def find(self, address: str) -> Any: ...
    def at(self, when_s: float, call: Callable[..., object], *args: Any) -> None: ...
    def soon(self, call: Callable[..., object], *args: Any) -> None: ...
    def settle(self) -> None: ...
    def stirred(self) -> None: ...
    def wait(self, is_over: Callable[[], object], timeout_s: float | None, *, is_poll: bool = False) -> bool: ...
    def link(self, source: Any, target: Any) -> Link: ...


class Home(Protocol):
    """A host, as its sockets know it. See Host."""

    descriptors: dict[int, Any]
    descriptors_max: int
    pid: int
    uid: int
    gid: int
    up: bool

    @property
    def addresses(self) -> list[str]: ...
    @property
    def loop(self) -> Link: ...
    @property
    def name(self) -> str: ...
    @property
    def paths(self) -> Any: ...
    @property
    def ports(self) -> Any: ...
    @property
    def world(self) -> Network: ...
    def socket(self, family: int, type: int, proto: int = 0, /) -> Any: ...
    def socketpair(self, family: int, type: int, proto: int = 0, /) -> tuple[Any, Any]: ...
    def add(self, description: Any) -> int: ...
    def get(self, fd: int) -> Any: ...
    def close(self, fd: int) -> None: ...
    def has(self, ip: str) -> bool: ...
    def source_for(self, ip: str) -> str | None: ...
    def way_to(self, ip: str) -> tuple[Any, Link | None]: ...
