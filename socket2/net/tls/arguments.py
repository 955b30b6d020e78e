"""Node's arguments of the tls module: which options there are, and where they may stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import CONNECT_OPTIONS, SERVER_OPTIONS, SOCKET_OPTIONS, connect_arguments, split_callback
from ..failures import RangeError, told
from .credentials import CONTEXT_OPTIONS, checked_options

_BOTH = frozenset(("ALPNProtocols", "handshakeTimeout", "rejectUnauthorized", "secureContext"))
_CLIENT = _BOTH | CONTEXT_OPTIONS | {"checkServerIdentity", "servername", "session"}
_SERVER = _BOTH | CONTEXT_OPTIONS | {"SNICallback", "requestCert"}

TLS_SOCKET_OPTIONS = (SOCKET_OPTIONS | _CLIENT | _SERVER | {"isServer", "server"}) - {"readable", "writable"}
TLS_CONNECT_OPTIONS = SOCKET_OPTIONS | CONNECT_OPTIONS | _CLIENT | {"socket"}
TLS_SERVER_OPTIONS = SERVER_OPTIONS | _SERVER

Callback = Callable[..., Any]


def secure_connect_arguments(args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[dict[str, Any], Callback | None]:
    """Parse ([port[, host] | path][, options]) [, callback]. Options take precedence."""
    rest, callback = split_callback(args)
    given: dict[str, Any] = {}
    if rest and isinstance(rest[-1], Mapping):
        given = dict(rest.pop())
    known = frozenset(("port", "host", "path"))
    where = connect_arguments(tuple(rest), {}, known)[0] if rest else {}
    return checked_options({**where, **given}, named, TLS_CONNECT_OPTIONS), callback


def split(options: Mapping[str, Any], names: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options with these names, and the others."""
    ours = {name: value for name, value in options.items() if name in names}
    return ours, {name: value for name, value in options.items() if name not in names}


def seconds_of(options: Mapping[str, Any], default: float | None = None) -> float | None:
    """Return the option handshakeTimeout in seconds; None if there is no limit. Raises TypeError, RangeError."""
    limit = options.get("handshakeTimeout", default)
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        wrong = TypeError(f"handshakeTimeout must be a number of milliseconds, not {limit!r}")
        raise told(wrong, code="ERR_INVALID_ARG_TYPE")
    if not limit >= 0:
        raise told(RangeError(f"handshakeTimeout must not be negative: {limit!r}"), code="ERR_OUT_OF_RANGE")
    return limit / 1000 or None


def checked_function(options: Mapping[str, Any], name: str) -> Callback | None:
    """Return an option that is a function, if it is given. Raises TypeError."""
    value = options.get(name)
    if value is not None and not callable(value):
        raise told(TypeError(f"{name} must be a function, not {value!r}"), code="ERR_INVALID_ARG_TYPE")
    return value
