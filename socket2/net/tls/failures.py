"""Errors of TLS in Node's words: each gets Node's `code`, and keeps its class, which is one of the `ssl` module's.

Certificates have OpenSSL's names of what is wrong with them, as in Node: "CERT_HAS_EXPIRED".
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

from ..failures import described, failure, told

# X509_V_ERR_...: see openssl/x509_vfy.h.
_OF_CERTIFICATES = {
    2: "UNABLE_TO_GET_ISSUER_CERT",
    3: "UNABLE_TO_GET_CRL",
    4: "UNABLE_TO_DECRYPT_CERT_SIGNATURE",
    5: "UNABLE_TO_DECRYPT_CRL_SIGNATURE",
    6: "UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY",
    7: "CERT_SIGNATURE_FAILURE",
    8: "CRL_SIGNATURE_FAILURE",
    9: "CERT_NOT_YET_VALID",
    10: "CERT_HAS_EXPIRED",
    11: "CRL_NOT_YET_VALID",
    12: "CRL_HAS_EXPIRED",
    13: "ERROR_IN_CERT_NOT_BEFORE_FIELD",
    14: "ERROR_IN_CERT_NOT_AFTER_FIELD",
    15: "ERROR_IN_CRL_LAST_UPDATE_FIELD",
    16: "ERROR_IN_CRL_NEXT_UPDATE_FIELD",
    17: "OUT_OF_MEM",
    18: "DEPTH_ZERO_SELF_SIGNED_CERT",
    19: "SELF_SIGNED_CERT_IN_CHAIN",
    20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    22: "CERT_CHAIN_TOO_LONG",
    23: "CERT_REVOKED",
    24: "INVALID_CA",
    25: "PATH_LENGTH_EXCEEDED",
    26: "INVALID_PURPOSE",
    27: "CERT_UNTRUSTED",
    28: "CERT_REJECTED",
    62: "ERR_TLS_CERT_ALTNAME_INVALID",  # the host's name, OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH
    64: "ERR_TLS_CERT_ALTNAME_INVALID",  # its IP address
}


_NO_ISSUER, _NO_ISSUER_OF_A_LEAF = 20, 21


def code_of(error: ssl.SSLCertVerificationError, certificates: int) -> str:
    """Return what Node calls the fault of a certificate.

    OpenSSL finds more faults if nobody stops it at the first one, and Node does not. So a certificate that came without
    that of its issuer has another fault there.
    """
    code = error.verify_code
    return _OF_CERTIFICATES.get(
        _NO_ISSUER_OF_A_LEAF if code == _NO_ISSUER and certificates == 1 else code, "UNSPECIFIED"
    )


def explained(error: OSError, syscall: str | None = None, certificates: int = 0) -> OSError:
    """Add the attributes of Node's errors. Existing attributes stay. `certificates`: how many the peer has sent."""
    if not isinstance(error, ssl.SSLError):
        return error if syscall is None else described(error, syscall)
    if not hasattr(error, "syscall"):
        error.syscall = None  # type: ignore[attr-defined]  # Node gives it none
    code = (
        code_of(error, certificates) if isinstance(error, ssl.SSLCertVerificationError) else f"ERR_SSL_{_reason(error)}"
    )
    return told(error, code=code)


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason. The ssl module knows only those of the OpenSSL that Python was made with."""
    if error.reason:
        return error.reason
    found = re.search(r"\]?\s*([\w ]+) \(", str(error))
    return found[1].strip().replace(" ", "_").upper() if found else "FAILURE"


def left_in_the_handshake(options: Mapping[str, Any]) -> OSError:
    """Return a client's error for a server that ends the connection during the handshake."""
    message = "Client network socket disconnected before secure TLS connection was established"
    error = failure("ECONNRESET", message)
    return told(error, **{name: options.get(name) for name in ("path", "host", "port", "localAddress")})


def hung_up() -> OSError:
    """Return a server's error for a client that ends the connection during the handshake."""
    return failure("ECONNRESET", "socket hang up")


def no_certificate() -> OSError:
    """Return a server's error for a client without a certificate."""
    return failure("UNABLE_TO_GET_ISSUER_CERT", "unable to get issuer certificate")


def too_slow() -> OSError:
    """Return the error for a handshake that took longer than its limit."""
    return failure("ERR_TLS_HANDSHAKE_TIMEOUT", "TLS handshake timeout")


def unavailable(what: str) -> NotImplementedError:
    """Return the error for what Node can do, and Python's ssl module cannot."""
    return told(NotImplementedError(f"Python's ssl module cannot {what}"), code="ERR_FEATURE_UNAVAILABLE_ON_PLATFORM")
