"""The certificates of the scenarios of TLS, as files that Node reads, too."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme

LONG_AGO = datetime.datetime(2001, 1, 1)


def write_papers(folder: Path) -> None:
    """Write ca.pem, and a file with a key and a certificate for each name."""
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    end = LONG_AGO + datetime.timedelta(days=1)
    issued = {
        "localhost": ca.issue_cert("localhost", "127.0.0.1"),
        "elsewhere": ca.issue_cert("elsewhere.example", "*.wild.example"),
        "client": ca.issue_cert("client@example.org"),
        "stranger": stranger.issue_cert("localhost"),
        "expired": ca.issue_cert("localhost", not_before=LONG_AGO, not_after=end),
    }
    for name, one in issued.items():
        one.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    own = stranger.private_key_pem.bytes() + stranger.cert_pem.bytes()
    (folder / "selfsigned.pem").write_bytes(own)
