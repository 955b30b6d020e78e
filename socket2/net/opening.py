"""Opens what a Server listens on: a port, a path, a descriptor, or an existing socket.

Only the lookup of a name waits. When the listener is closed, its path is unlinked if it is still the same file.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Generator, Mapping
from typing import Any

from pollers import BoundPath, Operation, operation

from ..sockets.address import addr
from ..sockets.tcp import TCP, tcp
from ..sockets.udp import unix
from .address import text_of
from .arguments import checked_port
from .failures import RangeError, checked_path, described, failure, lookup_failure, path_failure, told
from .ip import isIP

BACKLOG = 511
_BACKLOG_MAX = 2**31 - 1


class Listener:
    """A listening socket, and the file that it created."""

    def __init__(self, sock: TCP, path: str | bytes | None = None, on_close: Callable[[], None] | None = None) -> None:
        self.sock = sock
        self._on_close = on_close
        self._file = BoundPath(path) if path is not None else None

    def name(self) -> Any:
        """Return its address in the standard library's form, None if it has none any more."""
        try:
            return self.sock.getsockname()
        except OSError:
            return None

    def close(self) -> None:
        """Stop listening. Remove the file, unless another one has the path by now."""
        if not self.sock.closed and self._file is not None:
            self._file.remove()
        self.sock.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


Primary = Callable[[dict[str, Any]], Operation[Listener]]

_primary: Primary | None = None


def use_primary(primary: Primary | None) -> None:
    """Get the non-exclusive listeners of this process from another one; None: open them here."""
    global _primary
    _primary = primary


def primary_for(options: Mapping[str, Any]) -> Primary | None:
    """Return the primary that opens a listener with these options; None: open it in this process."""
    elsewhere = options.get("port") is not None or options.get("path") is not None
    return _primary if elsewhere and options.get("handle") is None and not options.get("exclusive") else None


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check what can be checked now. Raises TypeError, RangeError."""
    options = dict(options)
    if options.get("port") is not None:
        options["port"] = checked_port(options["port"])
        if options.get("host") is not None and not isinstance(options["host"], str):
            raise told(TypeError(f"host must be text, not {options['host']!r}"), code="ERR_INVALID_ARG_TYPE")
    backlog = options.get("backlog")
    if backlog is None or (isinstance(backlog, int) and backlog <= 0):
        options["backlog"] = BACKLOG
    elif isinstance(backlog, bool) or not isinstance(backlog, int):
        raise told(TypeError(f"backlog must be a number, not {backlog!r}"), code="ERR_INVALID_ARG_TYPE")
    else:
        options["backlog"] = min(backlog, _BACKLOG_MAX)
    path = options.get("path")
    if path is not None and not isinstance(path, (str, bytes, os.PathLike)):
        raise told(TypeError(f"path must be text, not {path!r}"), code="ERR_INVALID_ARG_VALUE")
    handle = options.get("handle")
    if handle is not None and not hasattr(handle, "fileno") and not hasattr(handle, "fd"):
        raise told(TypeError(f"Invalid listen argument: {handle!r}"), code="ERR_INVALID_ARG_VALUE")
    fd = options.get("fd")
    if fd is not None and (isinstance(fd, bool) or not isinstance(fd, int)):
        raise told(TypeError(f"a descriptor must be a number, not {fd!r}"), code="ERR_INVALID_ARG_TYPE")
    if fd is not None and fd < 0:
        raise told(RangeError(f"a descriptor must not be negative: {fd}"), code="ERR_OUT_OF_RANGE")
    return options


def needs_look_up(options: Mapping[str, Any]) -> bool:
    """Whether there is a name to look up first."""
    host = options.get("host")
    return options.get("handle") is None and options.get("port") is not None and bool(host) and not isIP(host)


@operation
def look_up(host: str) -> Generator[Any, None, str]:
    """Return the first address of a name. Raises socket.gaierror."""
    try:
        found = yield from addr(host, 0, "tcp", None)
    except Exception as error:
        raise lookup_failure(error, host) from None
    return found[0].host


def open_listener(options: Mapping[str, Any]) -> Listener:
    """Open a listener with checked options, whose host has been looked up. Raises OSError."""
    if options.get("handle") is not None:
        return _of_handle(options["handle"], options["backlog"])
    if options.get("port") is not None:
        return _of_port(options)
    if options.get("path") is not None:
        return _of_path(options)
    return _of_descriptor(options["fd"], options["backlog"])


def _of_port(options: Mapping[str, Any]) -> Listener:
    host, port, backlog = options.get("host"), options["port"], options["backlog"]
    if host:
        return Listener(_bound("inet6" if isIP(host) == 6 else "inet", host, port, backlog, options))
    try:
        return Listener(_bound("inet6", "::", port, backlog, options))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
        return Listener(_bound("inet", "0.0.0.0", port, backlog, options))  # this system has no IPv6


def _bound(family: str, host: str, port: int, backlog: int, options: Mapping[str, Any]) -> TCP:
    try:
        sock = tcp(family)
    except OSError as error:
        raise described(error, "socket", host, port) from None
    try:
        sock.setopt("nodelay", False)  # Node's default; otherwise socket2 sets it
        if family == "inet6":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(options.get("ipv6Only"))))
        if options.get("reusePort"):
            if not hasattr(socket, "SO_REUSEPORT"):
                raise failure("ENOTSUP", "this system has no SO_REUSEPORT", errno.ENOTSUP)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.listen(host, port, backlog)
    except ValueError as error:  # an IPv6 zone that does not exist
        sock.close()
        raise _told(lookup_failure(error, host), host, port) from None
    except BaseException as error:
        sock.close()
        raise _told(error, host, port) from None
    return sock


def _told(error: BaseException, host: str, port: int | None) -> BaseException:
    """Add the address to the error, as Node does: the message is often all that people see."""
    if isinstance(error, OSError):
        described(error, "listen", host, port)
        error.add_note(f"listening on {text_of(host, port)}")
    return error


def _of_path(options: Mapping[str, Any]) -> Listener:
    path = os.fspath(options["path"])
    sock = unix()
    try:
        sock.listen(checked_path(path), backlog=options["backlog"])
        mode = stat.S_IRGRP | stat.S_IROTH if options.get("readableAll") else 0
        mode |= stat.S_IWGRP | stat.S_IWOTH if options.get("writableAll") else 0
        if mode:
            os.chmod(path, os.stat(path).st_mode | mode)
    except Exception as error:
        sock.close()
        raise _told(path_failure(error, "listen", path), os.fsdecode(path), None) from None
    return Listener(sock, path)


def _of_descriptor(fd: int, backlog: int) -> Listener:
    try:
        sock = tcp(fileno=fd)
    except ValueError:
        raise described(OSError(errno.EINVAL, f"descriptor {fd} is not a stream socket"), "listen") from None
    except OSError as error:
        raise described(error, "listen") from None
    return _listening(sock, backlog)


def _of_handle(handle: Any, backlog: int) -> Listener:
    """Listen on a duplicate of an existing socket: its owner may keep or close the original."""
    fileno = getattr(handle, "fileno", None)
    fd = fileno() if callable(fileno) else getattr(handle, "fd", -1)
    if not isinstance(fd, int):
        raise described(OSError(errno.EBADF, f"{handle!r} has no descriptor"), "listen")
    try:
        copy = os.dup(fd)
    except OSError as error:
        raise described(error, "listen") from None
    try:
        return _of_descriptor(copy, backlog)
    except OSError:
        os.close(copy)
        raise


def _listening(sock: TCP, backlog: int) -> Listener:
    try:
        sock.listen(backlog=backlog)
    except OSError as error:
        sock.detach()
        raise described(error, "listen") from None
    return Listener(sock)
