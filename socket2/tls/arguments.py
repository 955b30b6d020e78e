"""What the arguments of TLS may be. They are checked before anything is connected, bound or received.

This module knows only the `ssl` module, which it imports late: most programs do not need it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ..sockets.hostnames import ascii_name
from ..threads.timers import duration

if TYPE_CHECKING:
    import ssl

HANDSHAKE_S = 10.0
"""The default limit for a handshake, in seconds."""


# In ASCII, as a certificate can have it. "_" is in names that DNS knows and RFC 1123 does not.
_HOST_NAME = re.compile(r"(?=.{1,253}\.?\Z)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?", re.ASCII)


def check_context(context: object, *, server_side: bool) -> None:
    """Raise TypeError if this is not an ssl.SSLContext, ValueError if it is for the other side only."""
    import ssl

    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"TLS needs an ssl.SSLContext, not {context!r}")
    if server_side and context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("this context is for clients: a server needs one as server_context() makes it")
    if not server_side and context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(
            "this context is for servers: a client needs one as client_context() makes it; a server, server_side=True"
        )


def name_to_ask_for(server_hostname: str | None) -> str | None:
    """Return the name of a server as clients ask for it, and as certificates have it: in ASCII, without a last dot.

    Raises TypeError if it is not a str; ValueError, or its subclass UnicodeError, if it can be neither a host name nor
    an address.
    """
    if server_hostname is None:
        return None
    if not isinstance(server_hostname, str):
        raise TypeError(f"server_hostname must be a str, not {server_hostname!r}")
    try:
        name = ascii_name(server_hostname)
        if not _HOST_NAME.fullmatch(name):
            ip_address(name)
    except UnicodeError as error:
        raise UnicodeError(f"server_hostname: {error}") from None
    except ValueError:
        raise ValueError(f"server_hostname must be the name of a host, not {server_hostname!r:.80}") from None
    return name.removesuffix(".")


def check_client_only(server_side: bool, server_hostname: str | None, session: object) -> None:
    """Raise TypeError if a server was given what only clients have, or if `session` is no session."""
    import ssl

    if server_side and server_hostname is not None:
        raise TypeError("server_hostname is for clients: a server has no use for it")
    if server_side and session is not None:
        raise TypeError("session is for clients: a server has no use for it")
    if session is not None and not isinstance(session, ssl.SSLSession):
        raise TypeError(f"session must be an ssl.SSLSession, not {session!r:.80}")


def check_arguments(
    context: ssl.SSLContext,
    server_side: bool,
    server_hostname: str | None,
    session: ssl.SSLSession | None,
    handshake_s: float | None,
) -> None:
    """Raise the errors of a TLS object with these arguments, for a call that makes the object later."""
    from .engine import Engine

    check_context(context, server_side=server_side)
    check_client_only(server_side, server_hostname, session)
    handshake_limit(handshake_s)
    Engine(context, server_side=server_side, server_hostname=name_to_ask_for(server_hostname), session=session)


def handshake_limit(handshake_s: float | None) -> float | None:
    """Return the limit for a handshake in seconds, None for no limit. Raises as duration() does."""
    return None if handshake_s is None else duration(handshake_s)
