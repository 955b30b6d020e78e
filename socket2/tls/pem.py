"""Loads PEM files into a context. The `ssl` module does not say which file was at fault; the errors here do.

An error is examined after the fact, so a file that is usable is read once.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


def load_certificate(context: ssl.SSLContext, certificate: str, key: str | None, password: str | bytes | None) -> None:
    """Load a certificate and its private key; `key` None: from the same file.

    Without a password OpenSSL would ask for it on the terminal, so that counts as an empty one. Raises OSError or
    ssl.SSLError, both with the `filename` and the reason.
    """
    try:
        context.load_cert_chain(certificate, key, password if password is not None else "")
    except OSError as error:
        _explain_certificate(error, certificate, certificate if key is None else key)


def authorities(path: str) -> dict[str, Any]:
    """Return the argument of `ssl` for a file or directory of certificate authorities."""
    return {"capath" if os.path.isdir(path) else "cafile": path}


@contextmanager
def naming(path: str) -> Iterator[None]:
    """A block that loads authorities: its errors have the `filename` and the reason."""
    try:
        yield
    except OSError as error:
        _explain_authorities(error, path)


def _explain_certificate(error: OSError, certificate: str, key: str) -> NoReturn:
    """Find out whether the certificate or its key is to blame."""
    kinds = [(path, stat.S_ISREG(os.stat(path).st_mode)) for path in (certificate, key)]  # raises if one is missing
    for path, is_regular in kinds:
        if not is_regular:  # a FIFO cannot be read again
            _explain(error, path)
        text = Path(path).read_bytes()  # raises, too, if that is not allowed; the last one is the key's
    if isinstance(error, ssl.SSLError):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate)
        except ssl.SSLError as own:
            _explain_authorities(own, certificate)
        if b"PRIVATE KEY-----" not in text:
            _explain(error, key, "it contains no private key in PEM")
        if b"ENCRYPTED" in text:
            _explain(error, key, "the password of the private key is wrong or missing")
        if error.reason is not None:
            _explain(error, key, f"it does not fit the certificate in {certificate}: {error.reason}")
    _explain(error, key)


def _explain_authorities(error: OSError, path: str) -> NoReturn:
    has_none = getattr(error, "reason", None) in ("NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE")
    _explain(error, path, "it contains no certificate in PEM" if has_none else None)


def _explain(error: OSError, path: str, reason: str | None = None) -> NoReturn:
    """Raise the error with the name of the file, and with the reason if it is known better than OpenSSL says it."""
    named: OSError
    if isinstance(error, ssl.SSLError):
        named = type(error)(error.errno, f"{path}: {reason or f'OpenSSL cannot read it: {error.strerror}'}")
        named.library, named.reason = error.library, error.reason
        named.filename = path
    else:
        named = OSError(error.errno, error.strerror, path)
    raise named from error
