"""A server's context that loads its certificate again, and chooses among contexts by the name that a client asks for.

New connections take what was loaded last. Existing connections keep the context that they began with.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from ..sockets.hostnames import ascii_name


class ServerContext(ssl.SSLContext):
    """An ssl.SSLContext whose certificate can be loaded again. Made by server_context()."""

    _make: Callable[[], ssl.SSLContext] | None = None
    _newest: ssl.SSLContext | None = None
    _changes: tuple[Callable[[ssl.SSLContext], object], ...] = ()
    _by_name: tuple[ServerContext, ...] = ()

    def remember(self, make: Callable[[], ssl.SSLContext], by_name: Iterable[ssl.SSLContext]) -> None:
        """Let reload() use `make`, and repeat all changes from now on. For the other rooms of socket2."""
        self._by_name = tuple(one for one in by_name if isinstance(one, ServerContext))
        self._make = make

    @property
    def newest(self) -> ssl.SSLContext:
        """The context of new connections: the one that was loaded last."""
        return self if self._newest is None else self._newest

    def reload(self) -> None:
        """Load the certificate, the key and the client CAs from their files again, for new connections.

        Existing connections continue. It reads the files, which blocks for a moment. If one is not usable, raises
        ssl.SSLError or OSError with its name and the reason, and the old ones stay in use. Sessions from before are not
        resumed: their clients make a full handshake. What was changed on this object after server_context() applies to
        the new context, too. Those contexts of `names` that server_context() has made are loaded again first.
        """
        assert self._make is not None
        for context in self._by_name:
            context.reload()
        newest = self._make()
        for change in self._changes:
            change(newest)
        self._newest = newest

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if self._make is not None and name not in ("_make", "_newest", "_changes", "_by_name"):
            self._changed(lambda context: setattr(context, name, value))

    def _changed(self, again: Callable[[ssl.SSLContext], object]) -> None:
        """Change the newest context as this one was changed, and let reload() do so again."""
        if self._newest is not None:
            again(self._newest)
        self._changes += (again,)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **options) if self._newest is None else self._newest.wrap_bio(*args, **options)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        newest = self._newest
        return super().wrap_socket(*args, **options) if newest is None else newest.wrap_socket(*args, **options)


def _repeated(name: str) -> Any:
    """Return a method that changes the context, so that reload() changes the next one in the same way."""
    change = getattr(ssl.SSLContext, name)

    @wraps(change)
    def method(self: ServerContext, *args: Any, **options: Any) -> Any:
        result = change(self, *args, **options)
        if self._make is not None:
            self._changed(lambda context: getattr(context, name)(*args, **options))
        return result

    return method


for _name in (
    "load_cert_chain",
    "load_default_certs",
    "load_dh_params",
    "load_verify_locations",
    "set_alpn_protocols",
    "set_ciphers",
    "set_default_verify_paths",
    "set_ecdh_curve",
    "set_npn_protocols",
    "set_psk_server_callback",
    "set_servername_callback",
):
    if hasattr(ssl.SSLContext, _name):
        setattr(ServerContext, _name, _repeated(_name))


def as_asked_for(name: str) -> str:
    """Return a name in the one form that all its spellings have. A client asks for "xn--bcher-kva.example"."""
    return ascii_name(name).lower().rstrip(".")


def choose_by_name(context: ssl.SSLContext, contexts: Mapping[str, ssl.SSLContext]) -> None:
    """Let `context` hand a client to the one of `contexts` whose key is the name that it asks for.

    "*.example.org" is for all names with one more label. Clients with other names, or none, stay with `context`.
    """
    by_name = {as_asked_for(name): one for name, one in contexts.items()}

    def choose(ssl_object: Any, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        ssl_object.server_name = name
        name = name.lower().rstrip(".")
        found = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if found is not None:
            ssl_object.context = found.newest if isinstance(found, ServerContext) else found

    context.sni_callback = choose
