"""Node's overloaded arguments: numbers, hosts, paths, dictionaries of options, a callback at the end.

Options may be given as a dictionary, as in Node, or as keyword arguments. An unknown name is a TypeError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .failures import RangeError, told

Callback = Callable[..., Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SOCKET_OPTIONS = _names(
    "allowHalfOpen blockList fd handle highWaterMark keepAlive keepAliveCount keepAliveInitialDelay keepAliveInterval"
    " maxBufferSize noDelay onread pauseOnCreate readable signal timeout writable"
)
CONNECT_OPTIONS = _names(
    "autoSelectFamily autoSelectFamilyAttemptTimeout blockList family hints host keepAlive keepAliveCount"
    " keepAliveInitialDelay keepAliveInterval localAddress localPort lookup noDelay path port timeout"
)
SERVER_OPTIONS = _names(
    "allowHalfOpen blockList highWaterMark keepAlive keepAliveCount keepAliveInitialDelay keepAliveInterval"
    " maxBufferSize noDelay pauseOnConnect"
)
LISTEN_OPTIONS = _names("backlog exclusive fd handle host ipv6Only path port readableAll reusePort signal writableAll")


def options_of(given: Any, named: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Merge a dictionary of options with keyword options."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"options must be a dictionary, not {given!r}")
    options = {**(given or {}), **named}
    unknown = options.keys() - known
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}: expected any of {', '.join(sorted(known))}")
    return options


def split_callback(args: tuple[Any, ...]) -> tuple[list[Any], Callback | None]:
    """Take the callback off the end. None, or no argument at all, means no callback."""
    rest = list(args)
    callback = rest.pop() if rest and callable(rest[-1]) else None
    while rest and rest[-1] is None:
        rest.pop()
    return rest, callback


def connect_arguments(
    args: tuple[Any, ...], named: Mapping[str, Any], known: frozenset[str]
) -> tuple[dict[str, Any], Callback | None]:
    """Parse (options | port[, host] | path) [, callback]."""
    rest, callback = split_callback(args)
    given: dict[str, Any] = {}
    if rest and isinstance(rest[0], Mapping):
        given, rest = dict(rest[0]), rest[1:]
    elif rest and isinstance(rest[0], str) and to_number(rest[0]) is None:
        given, rest = {"path": rest[0]}, rest[1:]
    elif rest:
        given, rest = {"port": rest[0]}, rest[1:]
        if rest:
            given["host"], rest = rest[0], rest[1:]
    if rest:
        raise TypeError(f"unexpected argument {rest[0]!r}")
    return options_of(given, named, known), callback


def listen_arguments(args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[dict[str, Any], Callback | None]:
    """Parse (options | port[, host][, backlog] | path[, backlog] | handle[, backlog]) [, callback]."""
    rest, callback = split_callback(args)
    given: dict[str, Any] = {}
    if rest:
        first, rest = rest[0], rest[1:]
        if isinstance(first, Mapping):
            given = dict(first)
        elif isinstance(first, str) and to_number(first) is None:
            given["path"] = first
        elif first is None or isinstance(first, (int, float, str)):
            given["port"] = 0 if first is None else first
            if rest and not _is_number(rest[0]):
                given["host"], rest = rest[0], rest[1:]
        else:
            given["handle"] = first
    elif not named:
        given["port"] = 0
    if rest:
        given["backlog"], rest = rest[0], rest[1:]
    if rest:
        raise TypeError(f"unexpected argument {rest[0]!r}")
    options = options_of(given, named, LISTEN_OPTIONS)
    if not any(options.get(name) is not None for name in ("port", "path", "fd", "handle")):
        message = f"Invalid listen argument: port, path, fd or handle is required, not {options!r}"
        raise told(TypeError(message), code="ERR_INVALID_ARG_VALUE")
    return options, callback


def checked_port(port: Any) -> int:
    """Return a port given as a number, or as text in any notation. Raises TypeError, RangeError."""
    number = port if _is_number(port) else to_number(port) if isinstance(port, str) else None
    if number is None and not isinstance(port, str):
        raise told(TypeError(f"port should be a number or string, not {port!r}"), code="ERR_INVALID_ARG_TYPE")
    if number is None or number != number or not 0 <= number < 65536 or number != int(number):
        raise told(RangeError(f"port should be >= 0 and < 65536, not {port!r}"), code="ERR_SOCKET_BAD_PORT")
    return int(number)


def checked_count(name: str, value: Any) -> int:
    """Return a number of bytes or connections. Raises TypeError, or RangeError if it cannot be a count."""
    if not _is_number(value):
        raise told(TypeError(f"{name} must be a number, not {value!r}"), code="ERR_INVALID_ARG_TYPE")
    if not value >= 0 or value == math.inf or value != int(value):
        raise told(RangeError(f"{name} must be a non-negative integer, not {value!r}"), code="ERR_INVALID_ARG_VALUE")
    return int(value)


def checked_onread(onread: Any) -> tuple[Any, Callback]:
    """Return the buffer (or the function that makes one) and the callback of the option `onread`. Raises TypeError."""
    buffer, callback = (onread.get("buffer"), onread.get("callback")) if isinstance(onread, Mapping) else (None, None)
    if callable(callback) and (callable(buffer) or _is_room(buffer)):
        return buffer, callback
    wrong = f"onread must be {{'buffer': a writable buffer or a function, 'callback': ...}}, not {onread!r}"
    raise told(TypeError(wrong), code="ERR_INVALID_ARG_TYPE")


def _is_room(buffer: Any) -> bool:
    try:
        return not memoryview(buffer).readonly
    except TypeError:
        return False


def to_number(text: str) -> float | int | None:
    """Return what JavaScript's Number() makes of a text with digits; None for any other text."""
    text = text.strip()
    try:
        return int(text, 0) if text[:1] == "0" and text[1:2] in tuple("xXoObB") else int(text, 10)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
