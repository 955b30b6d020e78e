"""Errors as Node tells of them: OSErrors and others that carry `code`, `syscall`, and where it was.

`code` is errno's name ("ECONNREFUSED"), getaddrinfo's ("ENOTFOUND") or one of Node's own ("ERR_...").
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)

_LOOKUPS = {
    getattr(socket, name, None): code
    for name, code in (("EAI_NONAME", "ENOTFOUND"), ("EAI_NODATA", "ENOTFOUND"), ("EAI_AGAIN", "EAI_AGAIN"))
}


class RangeError(ValueError):
    """A number out of its range: a port, a timeout."""


class AggregateError(OSError):
    """Every address was tried and none answered; `errors` has one error for each."""

    def __init__(self, errors: list[OSError]) -> None:
        first = errors[0]
        super().__init__(first.errno, "; ".join(str(error) for error in errors))
        self.errors = errors
        self.code = getattr(first, "code", None)


def failure(code: str, message: str, number: int | None = None) -> OSError:
    """Make an error that has no errno of its own, or the one given."""
    error = OSError(number, message) if number is not None else OSError(message)
    return told(error, code=code)


def system_failure(number: int, syscall: str, message: str | None = None) -> OSError:
    """Make the OSError of an errno."""
    return described(OSError(number, message or os.strerror(number)), syscall)


def described(error: E, syscall: str, address: Any = None, port: int | None = None) -> E:
    """Add to an error of the system what Node's have; what it has already stays."""
    if isinstance(error, socket.gaierror):
        told(error, code=_LOOKUPS.get(error.errno) or "EAI_FAIL")
    elif isinstance(error, TimeoutError) and error.errno is None:
        told(error, code="ETIMEDOUT")
    elif isinstance(error, OSError) and error.errno is not None:
        told(error, code=errno.errorcode.get(error.errno, f"E{error.errno}"))
    return told(error, syscall=syscall, address=address, port=port or None)


def lookup_failure(error: Exception, host: str) -> Exception:
    """What is told of a look-up that has failed. A name that cannot even be asked for is one that nobody has."""
    if isinstance(error, ValueError):
        error = socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {error}")
    if isinstance(error, socket.gaierror):
        told(error, code=_LOOKUPS.get(error.errno) or "EAI_FAIL", hostname=host)
        return told(error, syscall="getaddrinfo")
    return described(error, "getaddrinfo")


def checked_path(path: str | bytes) -> str | bytes:
    """Return a path of a UNIX socket. ValueError for a NUL in it, behind which the system would not look."""
    if os.fsencode(path).find(b"\0", 1) > 0 and os.fsencode(path)[:1] != b"\0":
        raise ValueError(f"there is a NUL in the path {path!r}")
    return path


def path_failure(error: Exception, syscall: str, path: Any) -> Exception:
    """What is told of a path. One that can be none, by its length or a NUL in it, is invalid to the system as well."""
    if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno is None):
        error = OSError(errno.EINVAL, str(error))
    return described(error, syscall, os.fsdecode(path))


def told(error: E, **details: Any) -> E:
    for name, value in details.items():
        if value is not None and not hasattr(error, name):
            setattr(error, name, value)
    return error
