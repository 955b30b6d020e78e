"""Who looks up names for the threads of a scheduler. Knows no socket and no pool: it only says what is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""(family, type, proto, canonname, sockaddr), as socket.getaddrinfo() has it."""

Answer: TypeAlias = T | Awaitable[T] | Generator[Any, Any, T]
"""What `async def`, generator functions and plain functions return. A plain one must not block."""


class Resolver(Protocol):
    """Looks up names: given to run() or start(). Its methods run in the thread that asks, and may wait.

    They take and return what the functions of that name in the module `socket` do, and raise socket.gaierror. A cancel
    or a timeout of the thread that asks is raised in them, as in any wait.
    """

    def getaddrinfo(
        self, host: str | None, port: int | str | None, family: int, type: int, proto: int, flags: int, /
    ) -> Answer[Sequence[AddressInfo]]:
        """Find addresses, in the order to try them. Not asked for a literal address with a number as its port."""

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> Answer[tuple[str, str]]:
        """Find the name of a host and of a service: only socket2.luasocket.dns asks."""


def check_resolver(resolver: object) -> None:
    """TypeError for what is none."""
    for name in ("getaddrinfo", "getnameinfo"):
        if not callable(getattr(resolver, name, None)):
            raise TypeError(f"a resolver has getaddrinfo() and getnameinfo(), and {resolver!r} has no {name}()")
