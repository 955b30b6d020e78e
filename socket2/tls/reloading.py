"""A server's context that loads its certificate again, and chooses among contexts by the name that a client asks for.

New connections take what was loaded last. Existing connections keep the context that they began with.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any


class ServerContext(ssl.SSLContext):
    """An ssl.SSLContext whose certificate can be loaded again. Made by server_context()."""

    _make: Callable[[], ssl.SSLContext] | None = None
    _newest: ssl.SSLContext | None = None

    def remember(self, make: Callable[[], ssl.SSLContext]) -> None:
        """Let reload() use `make`. For the other rooms of socket2."""
        self._make = make

    @property
    def newest(self) -> ssl.SSLContext:
        """The context of new connections: the one that was loaded last."""
        return self if self._newest is None else self._newest

    def reload(self) -> None:
        """Load the certificate, the key and the client CAs from their files again, for new connections.

        Existing connections continue. It reads the files, which blocks for a moment. If they are not usable, raises
        ssl.SSLError or OSError, and the old ones stay in use. Sessions from before are not resumed: their clients make
        a full handshake. Settings that were made on this object after server_context() do not apply any more.
        """
        assert self._make is not None
        self._newest = self._make()

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **options) if self._newest is None else self._newest.wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        newest = self._newest
        return super().wrap_socket(*args, **options) if newest is None else newest.wrap_socket(*args, **options)


def choose_by_name(context: ssl.SSLContext, contexts: Mapping[str, ssl.SSLContext]) -> None:
    """Let `context` hand a client to the one of `contexts` whose key is the name that it asks for.

    "*.example.org" is for all names with one more label. Clients with other names, or none, stay with `context`.
    """
    by_name = {name.lower().rstrip("."): one for name, one in contexts.items()}

    def choose(ssl_object: Any, name: str | None, _: ssl.SSLContext) -> None:
        ssl_object.server_name = name
        if name is None:
            return
        name = name.lower().rstrip(".")
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            ssl_object.context = found.newest if isinstance(found, ServerContext) else found

    context.sni_callback = choose
