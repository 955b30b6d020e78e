"""From the arguments of connect() to a connection: look up the name, try its addresses.

The caller is told of the events on the way. This module does not know Socket.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from pollers import operation

from ..sockets.address import Address, Query, addr
from ..sockets.eyeballs import DELAY_S, connect_to_first
from ..sockets.tcp import TCP, tcp
from ..sockets.udp import unix
from ..threads.coroutines import awaiting, is_coroutine
from ..threads.wait import Wait
from .arguments import checked_port
from .failures import AggregateError, RangeError, checked_path, described, failure, lookup_failure, path_failure, told
from .ip import BlockList, block_list_of, is_blocked, isIP

Tell = Callable[..., Any]

_ATTEMPT_MIN_MS = 10
_RACE_EVENTS = {"begun": "connectionAttempt", "failed": "connectionAttemptFailed", "slow": "connectionAttemptTimeout"}
_MADE_AT = "socket2.net"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where and how to connect. Made by destination(), which checks everything."""

    path: str | bytes | None
    host: str
    port: int
    family: int
    hints: Any
    local: tuple[str, int] | None
    lookup: Callable[..., Any] | None
    several: bool  # autoSelectFamily
    attempt_s: float
    blocked: BlockList | None


def destination(options: Mapping[str, Any]) -> Destination:
    """Check the options of connect(). Raises TypeError, ValueError, RangeError."""
    path, port = options.get("path"), options.get("port")
    if path is None and port is None:
        raise told(TypeError("connect() needs a port or a path"), code="ERR_MISSING_ARGS")
    if path is not None and not isinstance(path, (str, bytes)):
        raise told(TypeError(f"path must be text, not {path!r}"), code="ERR_INVALID_ARG_TYPE")
    host = options.get("host") or "localhost"
    if not isinstance(host, str):
        raise told(TypeError(f"host must be text, not {host!r}"), code="ERR_INVALID_ARG_TYPE")
    family = options.get("family") or 0
    if family not in (0, 4, 6):
        raise told(ValueError(f"family must be 0, 4 or 6, not {family!r}"), code="ERR_INVALID_ARG_VALUE")
    lookup = options.get("lookup")
    if lookup is not None and not callable(lookup):
        raise told(TypeError(f"lookup must be a function, not {lookup!r}"), code="ERR_INVALID_ARG_TYPE")
    attempt_ms = options.get("autoSelectFamilyAttemptTimeout", DELAY_S * 1000)
    if isinstance(attempt_ms, bool) or not isinstance(attempt_ms, (int, float)):
        wrong = TypeError(f"autoSelectFamilyAttemptTimeout must be a number of milliseconds, not {attempt_ms!r}")
        raise told(wrong, code="ERR_INVALID_ARG_TYPE")
    if not attempt_ms > 0:
        wrong_number = RangeError(f"autoSelectFamilyAttemptTimeout must be positive, not {attempt_ms!r}")
        raise told(wrong_number, code="ERR_OUT_OF_RANGE")
    local = _local(options.get("localAddress"), options.get("localPort"))
    several = bool(options.get("autoSelectFamily", True))
    return Destination(
        path=path,
        host=host,
        port=0 if path is not None else checked_port(port),
        family=family,
        hints=options.get("hints") or (),
        local=local,
        lookup=lookup,
        several=several and not family and local is None,
        attempt_s=max(attempt_ms, _ATTEMPT_MIN_MS) / 1000,
        blocked=block_list_of(options),
    )


def _local(address: Any, port: Any) -> tuple[str, int] | None:
    if address is None and port is None:
        return None
    if address is not None and not isIP(address):
        raise told(TypeError(f"localAddress must be an IP address, not {address!r}"), code="ERR_INVALID_IP_ADDRESS")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int)):
        raise told(TypeError(f"localPort must be a number, not {port!r}"), code="ERR_INVALID_ARG_TYPE")
    return address or "", checked_port(port or 0)


@operation
def dial(to: Destination, tell: Tell) -> Generator[Any, None, TCP]:
    """Connect. `tell` is called with the name and the values of each event. Raises OSError, socket.gaierror."""
    if to.path is not None:
        return (yield from _dial_path(to.path, tell))
    if isIP(to.host):
        addresses = [to.host]
    else:
        addresses = yield from _look_up(to, tell)
    allowed = [address for address in addresses if not is_blocked(to.blocked, address)]
    if not allowed:
        message = f"IP is blocked by net.BlockList: {addresses[0]}"
        raise described(failure("ERR_IP_BLOCKED", message, errno.EACCES), "connect", addresses[0], to.port)
    if not to.several or len(allowed) == 1:
        return (yield from _attempt(to, allowed[0], tell))
    return (yield from _first_of(to, allowed, tell))


@operation
def _dial_path(path: str | bytes, tell: Tell) -> Generator[Any, None, TCP]:
    tell("connectionAttempt", path, None, None)
    conn = unix()
    try:
        yield from conn.connect(checked_path(path))
    except Exception as error:
        conn.close()
        failed = path_failure(error, "connect", path)
        tell("connectionAttemptFailed", path, None, None, failed)
        raise failed from None
    except BaseException:
        conn.close()
        raise
    return conn


# Names.


@operation
def _look_up(to: Destination, tell: Tell) -> Generator[Any, None, list[str]]:
    try:
        if to.lookup is not None:
            found = yield from _ask(to.lookup, to)
        else:
            family = {0: None, 4: "inet", 6: "inet6"}[to.family]
            found = [address.host for address in (yield from addr(to.host, to.port, "tcp", family, flags=to.hints))]
    except Exception as error:
        failed = error if to.lookup is not None else lookup_failure(error, to.host)
        tell("lookup", failed, None, None, to.host)
        try:
            raise failed from None
        finally:
            del failed  # its traceback holds this frame: break the cycle
    found = list(dict.fromkeys(found))
    for address in found if to.several else found[:1]:
        tell("lookup", None, address, isIP(address), to.host)
    wrong = [address for address in found if not isIP(address)]
    if wrong:
        raise failure("ERR_INVALID_IP_ADDRESS", f"the lookup of {to.host!r} returned no IP address: {wrong[0]!r}")
    return found


@operation
def _ask(lookup: Callable[..., Any], to: Destination) -> Generator[Any, None, list[str]]:
    """Call a user's lookup function. It calls back, as in Node, or is a thread that returns what it found."""
    wait = Wait(f"lookup of {to.host!r}")

    def answer(error: BaseException | None, address: Any = None, family: int | None = None) -> None:
        if error is not None and not isinstance(error, BaseException):
            error = failure("EAI_FAIL", f"the lookup of {to.host!r} failed: {error!r}")
        wait.finish(address) if error is None else wait.fail(error)

    options = {"family": to.family, "hints": to.hints, "all": to.several}
    made = lookup(to.host, options, answer)
    found = (yield from awaiting(made)) if is_coroutine(made) else (yield from wait.wait())
    several: list[Any] = [found] if isinstance(found, (str, Mapping)) else list(found or ())
    addresses: list[str] = [one["address"] if isinstance(one, Mapping) else one for one in several]
    if not addresses:
        raise failure("ENOTFOUND", f"the lookup of {to.host!r} returned no IP address: {found!r}")
    return addresses


# Attempts.


@operation
def _first_of(to: Destination, addresses: list[str], tell: Tell) -> Generator[Any, None, TCP]:
    """Race the addresses: RFC 8305. (Node's autoSelectFamily, but a slow attempt can still win)"""
    failures: list[OSError] = []

    def told_of(event: str, address: Address, error: OSError | None) -> None:
        where = (address.host, to.port, isIP(address.host))
        if error is not None:
            failures.append(described(error, "connect", address.host, to.port))
            tell(_RACE_EVENTS[event], *where, error)
        else:
            tell(_RACE_EVENTS[event], *where)

    try:
        return (
            yield from connect_to_first(
                _literals(addresses, to.port), {"nodelay": False}, to.attempt_s, _MADE_AT, told_of
            )
        )
    except OSError as error:
        if not failures:
            raise
        raise AggregateError(failures) from error


def _literals(addresses: list[str], port: int) -> list[Address]:
    found: list[Address] = []
    for address in addresses:
        query = Query(address, port, "tcp", "inet6" if isIP(address) == 6 else "inet", None, ())
        found += query.at_once() or ()
    return found


@operation
def _attempt(to: Destination, address: str, tell: Tell) -> Generator[Any, None, TCP]:
    version = isIP(address)
    tell("connectionAttempt", address, to.port, version)
    conn = tcp("inet6" if version == 6 else "inet", nodelay=False)
    try:
        if to.local is not None:
            _bind(conn, *to.local)
        yield from conn.connect(address, to.port)
    except BaseException as error:
        conn.close()
        if isinstance(error, OSError):
            if not hasattr(error, "syscall"):
                described(error, "connect", address, to.port)
            tell("connectionAttemptFailed", address, to.port, version, error)
        raise
    return conn


def _bind(conn: TCP, host: str, port: int) -> None:
    try:
        conn.bind(host or None, port)
    except ValueError as error:  # an address of the other IP version
        raise described(OSError(errno.EINVAL, str(error)), "bind", host, port) from None
    except OSError as error:
        raise described(error, "bind", host or None, port) from None
