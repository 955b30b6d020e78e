"""Certificates for development, which nobody else trusts. The package trustme makes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def development_certificate(folder: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """Make a certificate for host names and IP addresses in `folder`.

    Return two PEM files: the key with the certificate, for server_context(), and the authority that clients have to
    trust, for client_context(ca=...). Raises ModuleNotFoundError if trustme is not installed.
    """
    import trustme

    authority = trustme.CA(organization_name="development only", organization_unit_name="made by socket2")
    certificate, ca = folder / "server.pem", folder / "ca.pem"
    authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(ca))
    return certificate, ca
