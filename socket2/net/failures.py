"""Errors in Node's form: OSErrors and others with `code`, `syscall` and an address.

`code` is the name of an errno ("ECONNREFUSED"), of a getaddrinfo error ("ENOTFOUND"), or one of Node's ("ERR_...").
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
    """A number is out of range: a port or a timeout."""


class AggregateError(OSError):
    """Every address was tried, and all failed. `errors` has one error for each."""

    def __init__(self, errors: list[OSError]) -> None:
        first = errors[0]
        super().__init__(first.errno, "; ".join(str(error) for error in errors))
        self.errors = errors
        self.code = getattr(first, "code", None)


def failure(code: str, message: str, number: int | None = None) -> OSError:
    """Make an OSError with a code of Node's, and an errno if `number` is given."""
    error = OSError(number, message) if number is not None else OSError(message)
    return told(error, code=code)


def described(error: E, syscall: str, address: Any = None, port: int | None = None) -> E:
    """Add the attributes of Node's errors to a system error. Existing attributes stay."""
    if isinstance(error, socket.gaierror):
        told(error, code=_LOOKUPS.get(error.errno) or "EAI_FAIL")
    elif isinstance(error, TimeoutError) and error.errno is None:
        told(error, code="ETIMEDOUT")
    elif isinstance(error, OSError) and error.errno is not None:
        told(error, code=errno.errorcode.get(error.errno, f"E{error.errno}"))
    return told(error, syscall=syscall, address=address, port=port or None)


def lookup_failure(error: Exception, host: str) -> Exception:
    """Return the error of a failed lookup. A name that cannot even be asked for counts as unknown."""
    if isinstance(error, ValueError):
        error = socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {error}")
    if isinstance(error, socket.gaierror):
        told(error, code=_LOOKUPS.get(error.errno) or "EAI_FAIL", hostname=host)
        return told(error, syscall="getaddrinfo")
    return described(error, "getaddrinfo")


def checked_path(path: str | bytes) -> str | bytes:
    """Return the path of a UNIX socket. Raises ValueError if it contains a NUL: the system would stop there."""
    if os.fsencode(path).find(b"\0", 1) > 0 and os.fsencode(path)[:1] != b"\0":
        raise ValueError(f"the path {path!r} contains a NUL")
    return path


def path_failure(error: Exception, syscall: str, path: Any) -> Exception:
    """Return the error of a path. One that is too long or contains a NUL is EINVAL, as for the system."""
    if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno is None):
        error = OSError(errno.EINVAL, str(error))
    return described(error, syscall, os.fsdecode(path))


def told(error: E, **details: Any) -> E:
    for name, value in details.items():
        if value is not None and not hasattr(error, name):
            setattr(error, name, value)
    return error
