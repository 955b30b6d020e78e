"""A certificate authority of the tests' own, made by trustme, and files with what it has issued.

`python -m tests.tls.certificates FOLDER` issues all that the tests need in advance, for a system that has no trustme;
PREPARED_CERTIFICATES=FOLDER is then in the environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from pathlib import Path
from typing import Any, TypeVar

import pytest

from socket2 import client_context, server_context
from socket2.tls.reloading import ServerContext

ContextT = TypeVar("ContextT", bound=ssl.SSLContext)

VERSIONS = ("TLSv1.2", "TLSv1.3")

versions = pytest.mark.parametrize("version", VERSIONS)
"""Runs a test with each version of TLS."""


class Authority:
    """An authority that is trusted, and another one that is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        self.stranger = folder / "stranger-ca.pem"
        if prepared := os.environ.get("PREPARED_CERTIFICATES"):
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
            return
        import trustme

        self._ca = trustme.CA()
        self._stranger = trustme.CA()
        self._ca.cert_pem.write_to_path(str(self.file))
        self._stranger.cert_pem.write_to_path(str(self.stranger))

    def issue(self, *names: str, by_stranger: bool = False) -> Path:
        """Return a file with a key and a certificate for these names."""
        path = self.folder / f"{'-'.join(names).replace('*', '_')}{'-stranger' * by_stranger}.pem"
        if not path.exists():
            made = (self._stranger if by_stranger else self._ca).issue_cert(*names)
            made.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    @property
    def ours(self) -> Path:
        return self.issue("localhost", "127.0.0.1")

    def server(self, version: str = "", **options: Any) -> ServerContext:
        return only(server_context(self.ours, **options), version)

    def client(self, version: str = "", **options: Any) -> ssl.SSLContext:
        return only(client_context(ca=self.file, **options), version)


def only(context: ContextT, version: str) -> ContextT:
    """Limit a context to one version of TLS."""
    if version:
        number = ssl.TLSVersion[version.replace(".", "_")]
        context.minimum_version = context.maximum_version = number
    return context


def prepare(folder: Path) -> None:
    """Issue what the tests ask for."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    for names in (
        ("localhost", "127.0.0.1"),
        ("localhost", "127.0.0.1", "new.example"),
        ("localhost",),
        ("me",),
        ("a.example",),
        ("*.b.example",),
        ("outer.example",),
        ("xn--fa-hia.example",),
        ("a.xn--bcher-kva.example", "xn--bcher-kva.example"),
    ):
        authority.issue(*names)
        authority.issue(*names, by_stranger=True)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
