"""The peer's certificate in Node's form.

The ssl module decodes a certificate only if it was verified. The object inside its SSLObject, which has no public way
to it in every version of Python, decodes any.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import ssl
from typing import Any

_DER = 2  # _ssl.ENCODING_DER
_SHORT = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "domainComponent": "DC",
    "givenName": "GN",
    "surname": "SN",
    "userId": "UID",
}


def chain_of(ssl_object: ssl.SSLObject) -> list[bytes]:
    """Return the certificates that the peer has sent, its own first, in DER."""
    return [one.public_bytes(_DER) for one in _chain(ssl_object)]


def _chain(ssl_object: Any) -> list[Any]:
    chain = ssl_object._sslobj.get_unverified_chain() or ()
    return [one for one in chain if one is not None]  # a client without a certificate has None in its chain


def certificate_of(ssl_object: ssl.SSLObject, detailed: bool) -> dict[str, Any]:
    """Return the peer's certificate; {} if it has none. `detailed`: with `issuerCertificate`, if it was sent."""
    described = [_described(one) for one in _chain(ssl_object)[: None if detailed else 1]]
    for one, issuer in itertools.pairwise(described):
        one["issuerCertificate"] = issuer
    return described[0] if described else {}


def _described(certificate: Any) -> dict[str, Any]:
    info = certificate.get_info()
    raw: bytes = certificate.public_bytes(_DER)
    found = {
        "subject": _name(info.get("subject", ())),
        "issuer": _name(info.get("issuer", ())),
        "valid_from": info.get("notBefore"),
        "valid_to": info.get("notAfter"),
        "serialNumber": info.get("serialNumber"),
        "fingerprint": _fingerprint(hashlib.sha1(raw, usedforsecurity=False).hexdigest()),
        "fingerprint256": _fingerprint(hashlib.sha256(raw).hexdigest()),
        "fingerprint512": _fingerprint(hashlib.sha512(raw).hexdigest()),
        "raw": raw,
    }
    if info.get("subjectAltName"):
        found["subjectaltname"] = ", ".join(f"{kind}:{_quoted(name)}" for kind, name in info["subjectAltName"])
    access = {"OCSP - URI": "OCSP", "CA Issuers - URI": "caIssuers"}
    known = {name: list(info[key]) for name, key in access.items() if info.get(key)}
    if known:
        found["infoAccess"] = known
    return found


def _name(parts: Any) -> dict[str, Any]:
    """Return {"CN": ...}. A name that comes more than once has a list."""
    found: dict[str, Any] = {}
    for part in parts:
        for long, value in part:
            name = _SHORT.get(long, long)
            if name not in found:
                found[name] = value
            elif isinstance(found[name], list):
                found[name].append(value)
            else:
                found[name] = [found[name], value]
    return found


def _quoted(name: Any) -> str:
    """Return a name, as a JSON string if it could be taken for more than one."""
    text = str(name)
    plain = not any(one in ",\"\\'" or not " " <= one <= "~" for one in text)
    return text if plain else json.dumps(text)


def _fingerprint(digest: str) -> str:
    return ":".join(digest[n : n + 2] for n in range(0, len(digest), 2)).upper()
