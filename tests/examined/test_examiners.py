"""What sslscan, sslyze and testssl.sh say of a server_context() with nothing but a certificate."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ..interop.peers import Program, needs
from ..test_main import PYTHON_M, SEARCH
from ..tls.certificates import Authority

# How long an examiner may take, in seconds. testssl.sh makes hundreds of handshakes, each with a program of its own.
TAKES_S = 900.0

AEAD = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Run an echo server with TLS and return its address. It is still there at the end."""
    certificate = Authority(tmp_path).ours
    command = [*PYTHON_M, "echo", "--tls", "--certificate", str(certificate), "127.0.0.1:0"]
    with Program(command, env=SEARCH) as server:
        port = server.port(r"^echo server on \S+:(\d+), TLS, poller ")
        yield f"127.0.0.1:{port}"
        assert server.process.poll() is None
        assert b"Traceback" not in server.stderr()


def examined(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, timeout=TAKES_S, check=False).stdout


def test_sslscan(address: str) -> None:
    found = ElementTree.fromstring(examined(needs("sslscan"), "--xml=-", address))
    enabled = {(one.get("type"), one.get("version")) for one in found.iter("protocol") if one.get("enabled") == "1"}
    assert enabled == {("tls", "1.2"), ("tls", "1.3")}
    assert {one.get("cipher") for one in found.iter("cipher")} == AEAD
    assert [one.get("supported") for one in found.iter("renegotiation")] == ["0"]
    assert {one.get("vulnerable") for one in found.iter("heartbleed")} == {"0"}


def test_sslyze_finds_it_as_mozilla_recommends(address: str, tmp_path: Path) -> None:
    """All but the certificate, which is the test's own, and two curves more than are recommended."""
    pytest.importorskip("sslyze")
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "sslyze",
        "--mozilla_config=intermediate",
        "--sni=localhost",
        f"--json_out={report}",
    ]
    text = examined(*command, address).decode()
    issues = {line.partition("*")[2].partition(":")[0].strip() for line in text.partition("COMPLIANCE")[2].splitlines()}
    assert issues - {""} == {"certificate_path_validation", "maximum_certificate_lifespan", "tls_curves"}
    (result,) = json.loads(report.read_text())["server_scan_results"]
    assert result["scan_status"] == "COMPLETED"
    scans = {name: scan["result"] for name, scan in result["scan_result"].items() if scan["status"] == "COMPLETED"}
    assert not scans["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not scans["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert not scans["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert scans["session_renegotiation"]["supports_secure_renegotiation"]
    assert not scans["tls_compression"]["supports_compression"]
    assert scans["tls_fallback_scsv"]["supports_fallback_scsv"]


def test_testssl(address: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--quiet", "--warnings", "off", "--nodns", "none", "--openssl-timeout", "60", "--jsonfile", str(report)]
    examined(needs("testssl", "testssl.sh"), *options, "-p", "-s", "-f", "-U", address)
    found: list[dict[str, Any]] = json.loads(report.read_text())
    assert len(found) > 30
    # "WARN" and "DEBUG" are about testssl.sh itself, such as what its OpenSSL cannot do.
    bad = [(one["id"], one["finding"]) for one in found if one["severity"] not in ("OK", "INFO", "WARN", "DEBUG")]
    assert bad == []
