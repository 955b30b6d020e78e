"""The interface of name resolvers: what they are asked, and what they answer. Knows no socket and no pool."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

AddressInfo: TypeAlias = tuple[int, int, int, str, Any]
"""(family, type, proto, canonname, sockaddr), as socket.getaddrinfo() returns it."""

Answer: TypeAlias = T | Awaitable[T] | Generator[Any, Any, T]
"""What a plain function, an `async def` function or a generator function returns. A plain one must not block."""


class Resolver(Protocol):
    """Looks up names. Pass one to run(), start() or serve_threads() to replace the system's resolver.

    Its methods have the arguments and results of the functions of the same name in the module `socket`, and raise
    socket.gaierror. They run in the thread that looks up a name, and may wait. A cancellation or timeout of that thread
    is raised in their wait.
    """

    def getaddrinfo(
        self, host: str | None, port: int | str | None, family: int, type: int, proto: int, flags: int, /
    ) -> Answer[Sequence[AddressInfo]]:
        """Return addresses, in the order in which to try them. Not called for a literal address with a numeric port."""

    def getnameinfo(self, sockaddr: Any, flags: int, /) -> Answer[tuple[str, str]]:
        """Return the names of a host and of a service. Not called if both are to be numeric."""


def check_resolver(resolver: object) -> None:
    """Raise TypeError if an object is not a Resolver."""
    for name in ("getaddrinfo", "getnameinfo"):
        if not callable(getattr(resolver, name, None)):
            raise TypeError(f"a resolver needs getaddrinfo() and getnameinfo(), but {resolver!r} has no {name}()")
