"""An error about a file names the file, and says what is wrong with it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from socket2 import client_context, server_context
from socket2.servers.renewal import load_certificate

from .certificates import Authority

ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.fixture
def parts(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    """Files with a certificate alone and with its key alone."""
    text = authority.ours.read_text()
    at = text.index("-----BEGIN CERTIFICATE")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(text[at:])
    key.write_text(text[:at])
    server_context(certificate, key)
    return certificate, key


def failure(load: Callable[[], object], path: Path) -> OSError:
    with pytest.raises(OSError, match=re.escape(path.name)) as caught:
        load()
    assert caught.value.filename == str(path)
    return caught.value


def test_a_missing_file(parts: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = parts
    missing = tmp_path / "missing.pem"
    for load in (
        lambda: server_context(missing),
        lambda: server_context(missing, key),
        lambda: server_context(certificate, missing),
        lambda: server_context(certificate, key, client_ca=missing),
        lambda: client_context(ca=missing),
        lambda: client_context(certificate=certificate, key=missing),
    ):
        assert isinstance(failure(load, missing), FileNotFoundError)
    failure(lambda: server_context(tmp_path), tmp_path)
    failure(lambda: server_context(certificate, tmp_path), tmp_path)
    failure(lambda: client_context(keylog=tmp_path), tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="the rights of POSIX")
def test_a_certificate_that_may_not_be_read(parts: tuple[Path, Path]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificate, key = (Path(shutil.copy(part, directory)) for part in parts)
        directory.chmod(0o755)
        certificate.chmod(0)
        key.chmod(0o644)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)  # root may read everything
        try:
            assert isinstance(failure(lambda: server_context(certificate, key), certificate), PermissionError)
        finally:
            os.seteuid(was)


def test_a_file_that_is_not_usable(authority: Authority, parts: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = parts
    (junk := tmp_path / "junk.pem").write_text("junk")
    (locked := tmp_path / "locked.pem").write_text(ENCRYPTED)
    (damaged := tmp_path / "damaged.pem").write_text(certificate.read_text()[:200])
    other = authority.issue("me")
    for load, path, reason in (
        (lambda: server_context(certificate), certificate, "it contains no private key in PEM"),
        (lambda: server_context(key), key, "it contains no certificate in PEM"),
        (lambda: server_context(junk, key), junk, "it contains no certificate in PEM"),
        (lambda: server_context(certificate, junk), junk, "it contains no private key in PEM"),
        (lambda: server_context(certificate, locked), locked, "the password of the private key is wrong or missing"),
        (lambda: server_context(certificate, other), other, f"it does not fit the certificate in {certificate}"),
        (lambda: server_context(damaged, key), damaged, "OpenSSL cannot read it"),
        (lambda: server_context(certificate, key, client_ca=junk), junk, "it contains no certificate in PEM"),
        (lambda: client_context(ca=key), key, "it contains no certificate in PEM"),
        (lambda: client_context(certificate=key), key, "it contains no certificate in PEM"),
    ):
        error = failure(load, path)
        assert isinstance(error, ssl.SSLError)
        assert reason in str(error)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_a_fifo_is_not_read_again(parts: tuple[Path, Path], tmp_path: Path) -> None:
    """Nobody writes to it any more, so opening it would wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(b"junk",))
    writer.start()
    failure(lambda: server_context(tmp_path / "fifo", parts[1]), tmp_path / "fifo")
    writer.join()


def test_a_reload_names_the_file(parts: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate, key = parts
    context = server_context(certificate, key)
    key.write_text("junk")
    assert not load_certificate(context, "SIGHUP", {})
    key.unlink()
    assert not load_certificate(context, "SIGHUP", {})
    first, second = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert first == f"SIGHUP: cannot load the certificate again: {key}: it contains no private key in PEM"
    assert second.startswith("SIGHUP: cannot load the certificate again: [")
    assert key.name in second
