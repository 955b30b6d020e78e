"""A client and a server in memory, from two contexts, and how their handshakes end."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from socket2 import TLS, newthread

from ...memory import memory_pair
from ..ends import Steps, limited

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
Outcome = tuple["OSError | None", "OSError | None"]


def pair(contexts: Contexts, name: str | None = "localhost", room: int = 1 << 16, **options: Any) -> tuple[TLS, TLS]:
    """Return a client and a server before the handshake. `options` are the client's."""
    one, other = memory_pair(room)
    return TLS(one, contexts[0], server_hostname=name, **options), TLS(other, contexts[1], server_side=True)


def attempt(operation: Any) -> Steps:
    """Return the error of an operation, or None."""
    try:
        yield from operation
    except OSError as error:
        return error
    return None


def meet(client: TLS, server: TLS) -> Steps:
    """Make both handshakes. Return the errors of the client and of the server.

    In TLS 1.3 a client may be refused after its own handshake: it learns that from its first receive.
    """
    shaking = newthread(attempt(client.handshake()))
    theirs = yield from attempt(server.handshake())
    ours = yield from shaking.join()
    if theirs is None and ours is None:
        yield from server.sendall(b"!")
    if ours is None:
        ours = yield from attempt(client.recv(1))
    return ours, theirs


def outcome(contexts: Contexts, name: str | None = "localhost", **options: Any) -> Outcome:
    """Let a client and a server with these contexts meet."""

    def main() -> Steps:
        client, server = pair(contexts, name, **options)
        with client, server:
            return (yield from meet(client, server))

    result: Outcome = limited(main)
    return result


def connected(contexts: Contexts, test: Callable[[TLS, TLS], Steps], **options: Any) -> Any:
    """Run a test with a client and a server whose handshakes are made."""

    def main() -> Steps:
        client, server = pair(contexts, **options)
        with client, server:
            assert (yield from meet(client, server)) == (None, None)
            return (yield from test(client, server))

    return limited(main)


def reason(error: OSError | None) -> str:
    """Return OpenSSL's name for an error, in small letters."""
    assert isinstance(error, ssl.SSLError), error
    return str(error.reason).lower()
