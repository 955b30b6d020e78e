"""The errors with which an engine fails. Each is raised several times, as a copy. Knows only the `ssl` module."""

from __future__ import annotations

import copy
import ssl


def again(error: Exception) -> Exception:
    """Return a copy to raise."""
    return copy.copy(error).with_traceback(None)


def lasting(error: BaseException) -> Exception:
    """Return the error that is raised from now on, after this one.

    The `ssl` module runs signal handlers when OpenSSL is done, and its result is lost if one of them raises: data that
    was decrypted, or the knowledge that data is in a record. So nothing more may be received or sent.
    """
    if isinstance(error, OSError):
        return again(error)
    name = type(error).__name__
    return ssl.SSLError(f"a {name} was raised in the middle of a record, so data of this TLS stream may be lost")


def ragged(text: str) -> ssl.SSLEOFError:
    """Return the error for an end without a close_notify."""
    error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, text)
    error.library, error.reason = "SSL", "UNEXPECTED_EOF_WHILE_READING"
    return error
