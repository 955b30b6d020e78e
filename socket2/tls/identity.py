"""Whether a certificate is for a host name or IP address, by RFC 6125.

OpenSSL checks this in a full handshake. When it resumes a session it checks nothing, whatever the session was made for.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import Any


def misdirected(side: ssl.SSLObject) -> ssl.SSLCertVerificationError | None:
    """Return an error if a client has resumed a session that is for another server than it wants."""
    name = side.server_hostname
    if not side.session_reused or not side.context.check_hostname or name is None:
        return None
    certificate = side.getpeercert()
    if certificate is None or is_for(certificate, name):
        return None
    error = ssl.SSLCertVerificationError(1, f"the session is for another server: its certificate is not for {name!r}")
    error.library, error.reason = "SSL", "CERTIFICATE_VERIFY_FAILED"
    return error


def is_for(certificate: dict[str, Any], name: str) -> bool:
    """Return whether a certificate, as getpeercert() returns it, is for this name.

    `name`: a host name in ASCII or an IP address. The common name counts only if the certificate names no host else.
    """
    alternatives = certificate.get("subjectAltName", ())
    address = _address(name)
    if address is not None:
        return any(kind == "IP Address" and _address(value) == address for kind, value in alternatives)
    patterns = [value for kind, value in alternatives if kind == "DNS"]
    if not patterns:
        patterns = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return any(_matches(name.lower(), pattern.lower()) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return name == pattern
    label, dot, rest = name.partition(".")
    return bool(label and dot) and rest == pattern[2:]


def _address(text: str) -> Any:
    try:
        return ip_address(text)
    except ValueError:
        return None
