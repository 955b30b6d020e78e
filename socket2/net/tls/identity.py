"""Whether a certificate is for a host: Node's tls.checkServerIdentity(), for functions that check more than that.

Without such a function OpenSSL checks the name, in the handshake. This module knows certificates as dictionaries only.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from ..failures import failure, told
from ..ip import isIP

# A name with a comma or a quote in it is written as a JSON string, so that no name can look like two.
_NAMES = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')


def checkServerIdentity(hostname: str, cert: Mapping[str, Any]) -> Exception | None:
    """Return an error if a certificate, as getPeerCertificate() returns it, is not for this host; None if it is.

    The names are those in `subjectaltname`; without any DNS name there, the CN of the subject. A wildcard stands for a
    part of the first label.
    """
    host = str(hostname).removesuffix(".")
    names = _names(cert.get("subjectaltname") or "")
    dns = [name for kind, name in names if kind == "DNS"]
    addresses = [_canonical(name) for kind, name in names if kind == "IP Address"]
    common = cert.get("subject", {}).get("CN")
    if isIP(host):
        if _canonical(host) in addresses:
            return None
        return _wrong(f"IP: {host} is not in the cert's list: {', '.join(addresses)}", host, cert)
    if dns:
        if any(_matches(host, name) for name in dns):
            return None
        return _wrong(f"Host: {host}. is not in the cert's altnames: {cert['subjectaltname']}", host, cert)
    if common:
        if any(_matches(host, name) for name in (common if isinstance(common, list) else [common])):
            return None
        return _wrong(f"Host: {host}. is not cert's CN: {common}", host, cert)
    return _wrong("Cert does not contain a DNS name", host, cert)


def _wrong(reason: str, host: str, cert: Mapping[str, Any]) -> OSError:
    message = f"Hostname/IP does not match certificate's altnames: {reason}"
    return told(failure("ERR_TLS_CERT_ALTNAME_INVALID", message), reason=reason, host=host, cert=cert)


def _names(text: str) -> list[tuple[str, str]]:
    found = []
    for item in _NAMES.findall(text):
        kind, _, name = item.strip().partition(":")
        found.append((kind, json.loads(name) if name.startswith('"') else name))
    return found


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


def _matches(host: str, pattern: str) -> bool:
    labels, parts = _labels(host), _labels(pattern)
    if len(labels) != len(parts) or "" in parts or labels[1:] != parts[1:]:
        return False
    if any(not "!" <= character <= "\x7f" for part in parts for character in part):
        return False  # nothing good can come from a blank or another script
    if "*" not in parts[0] or "xn--" in parts[0]:
        return labels[0] == parts[0]
    if parts[0].count("*") > 1 or len(parts) <= 2:
        return False
    before, after = parts[0].split("*")
    long_enough = len(before) + len(after) <= len(labels[0])
    return long_enough and labels[0].startswith(before) and labels[0].endswith(after)


def _labels(name: str) -> list[str]:
    lower = "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)
    return lower.removesuffix(".").split(".")
