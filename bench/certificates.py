"""The certificate that all TLS servers have, and that the load generators expect.

Knows trustme. It is made once, for ECDSA with P-256, which most servers of the web have. It is worth
nothing to anybody else: no client trusts it but the load generators.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from bench.build import BUILD
from bench.programs import BenchError

__all__ = ["CERTIFICATE", "make_certificate"]

CERTIFICATE = BUILD / "tls_server.pem"
NAME = "localhost"


def make_certificate() -> None:
    """Make the file with the key and the certificate, unless it exists.

    Raises:
        BenchError: trustme is not installed.
    """
    if find_spec("trustme") is None:
        raise BenchError("TLS needs trustme: pip install trustme (or pip install -e '.[bench]')")
    if CERTIFICATE.exists():
        return
    import trustme

    issued = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert(NAME, key_type=trustme.KeyType.ECDSA)
    # Another run may make it at the same time.
    fresh = CERTIFICATE.with_name(f"{CERTIFICATE.name}.{os.getpid()}")
    issued.private_key_and_cert_chain_pem.write_to_path(str(fresh))
    fresh.replace(CERTIFICATE)
