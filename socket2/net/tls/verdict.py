"""Whether a server's certificate is trusted, for clients that want to know it, but connect anyway.

The ssl module either ends the handshake over a bad certificate, or does not say what it thinks of it. So the server's
certificates are shown to a client that does end it: one in memory, in a handshake of TLS 1.2, where they come in plain
text and before anything that needs the server's key.
"""

from __future__ import annotations

import ssl

from .failures import explained

_VERSION = b"\x03\x03"  # TLS 1.2
_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO, _CERTIFICATE = 2, 11
_FATAL_HANDSHAKE_FAILURE = b"\x02\x28"
_NO_COMPRESSION = b"\0"
_SECURE_RENEGOTIATION = b"\xff\x01\x00\x01\x00"
_RECORD = 1 << 14
# ECDHE-ECDSA-AES128-GCM-SHA256 and ECDHE-RSA-AES128-GCM-SHA256: a certificate goes with one of them.
_SUITES = (b"\xc0\x2b", b"\xc0\x2f")


def what_is_wrong(context: ssl.SSLContext, chain: list[bytes], hostname: str) -> OSError | None:
    """Return the error that a client with this context has about these certificates (DER); None if it trusts them."""
    for suite in _SUITES:
        error = _shown(context, chain, hostname, suite)
        if error.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":  # our alert, which it reads only after the certificates
            return None
        if error.reason != "WRONG_CERTIFICATE_TYPE":
            break
    return explained(error, certificates=len(chain))


def _shown(context: ssl.SSLContext, chain: list[bytes], hostname: str, suite: bytes) -> ssl.SSLError:
    incoming = ssl.MemoryBIO()
    client = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname=hostname)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass  # it has said hello
    extensions = len(_SECURE_RENEGOTIATION).to_bytes(2, "big") + _SECURE_RENEGOTIATION
    hello = _VERSION + bytes(range(32)) + b"\0" + suite + _NO_COMPRESSION + extensions
    messages = _message(_SERVER_HELLO, hello) + _message(_CERTIFICATE, _sized(b"".join(map(_sized, chain))))
    for start in range(0, len(messages), _RECORD):
        incoming.write(_record(_HANDSHAKE, messages[start : start + _RECORD]))
    incoming.write(_record(_ALERT, _FATAL_HANDSHAKE_FAILURE))
    try:
        client.do_handshake()
    except ssl.SSLError as error:
        return error.with_traceback(None)
    raise AssertionError("a handshake without a key has succeeded")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(3, "big") + data


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _sized(body)


def _record(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + _VERSION + len(data).to_bytes(2, "big") + data
