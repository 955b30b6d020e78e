"""Certificates as LuaSec shows them. The package `cryptography` reads them; Python's `ssl` does not offer that.

It is needed for what is in a certificate, and imported then. The PEM form and digests work without it.
"""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime
from typing import Any

from ..messages import Message

_DIGESTS = ("sha1", "sha256", "sha512")

# OpenSSL's long names, by object identifier.
_ATTRIBUTES = {
    "0.9.2342.19200300.100.1.1": "userId",
    "0.9.2342.19200300.100.1.25": "domainComponent",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocalityName",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountryName",
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "countryName",
    "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName",
    "2.5.4.9": "streetAddress",
    "2.5.4.10": "organizationName",
    "2.5.4.11": "organizationalUnitName",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "givenName",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
}

# OpenSSL's short names.
_SIGNATURES = {
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.10040.4.3": "DSA-SHA1",
    "1.2.840.113549.1.1.4": "RSA-MD5",
    "1.2.840.113549.1.1.5": "RSA-SHA1",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "RSA-SHA256",
    "1.2.840.113549.1.1.12": "RSA-SHA384",
    "1.2.840.113549.1.1.13": "RSA-SHA512",
    "1.2.840.113549.1.1.14": "RSA-SHA224",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
    "2.16.840.1.101.3.4.3.2": "dsa_with_SHA256",
}

_SUBJECT_ALT_NAME = "2.5.29.17"


class Certificate:
    """A certificate. Made by loadcertificate(), and by getpeercertificate() of a connection.

    All methods except pem(), digest() and setencode() raise ImportError without the package `cryptography`, and
    ValueError if that cannot read the certificate.
    """

    def __init__(self, der: bytes) -> None:
        self._der = der
        self._read: Any = None

    @property
    def _x509(self) -> Any:
        if self._read is None:
            try:
                from cryptography import x509
            except ImportError:
                raise ImportError(
                    "reading a certificate needs the package cryptography: pip install 'socket2[luasec]'"
                ) from None
            self._read = x509.load_der_x509_certificate(self._der)
        return self._read

    def pem(self) -> str:
        """Return the certificate in PEM form."""
        return ssl.DER_cert_to_PEM_cert(self._der)

    def digest(self, algorithm: str | None = None) -> tuple[str | None, Message | None]:
        """Return (fingerprint, None), in hexadecimal; or (None, err) for another algorithm than sha1, sha256, sha512.

        `algorithm`: "sha1" by default.
        """
        algorithm = "sha1" if algorithm is None else algorithm
        if algorithm not in _DIGESTS:
            return None, Message(f"digest algorithm not supported ({algorithm})")
        return hashlib.new(algorithm, self._der, usedforsecurity=False).hexdigest(), None

    def subject(self) -> list[dict[str, str]]:
        """Return the name of its owner: a list of dicts with "oid", "name" and "value"."""
        return _attributes(self._x509.subject)

    def issuer(self) -> list[dict[str, str]]:
        """Return the name of its issuer, as subject() does."""
        return _attributes(self._x509.issuer)

    def serial(self) -> str:
        """Return the serial number in hexadecimal."""
        digits = f"{abs(self._x509.serial_number):X}"
        sign = "-" if self._x509.serial_number < 0 else ""
        return sign + digits.rjust(len(digits) + len(digits) % 2, "0")

    def notbefore(self) -> str:
        """Return when it becomes valid, as in "Nov  9 12:00:00 2026 GMT"."""
        return _date(self._x509.not_valid_before_utc)

    def notafter(self) -> str:
        """Return when its validity ends."""
        return _date(self._x509.not_valid_after_utc)

    def validat(self, time: float) -> bool:
        """Return whether it is valid at a UNIX time."""
        when = datetime.fromtimestamp(int(time), UTC)
        return bool(self._x509.not_valid_before_utc <= when <= self._x509.not_valid_after_utc)

    def extensions(self) -> dict[str, dict[str, Any]]:
        """Return the names of its owner in the extension subjectAltName, and no other extension, as LuaSec.

        A dict with the key "2.5.29.17", if there is the extension. Its value is a dict: "name", and the lists
        "dNSName", "rfc822Name", "uniformResourceIdentifier" and "iPAddress", those that are not empty.
        """
        from cryptography import x509

        try:
            names = self._x509.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return {}
        found: dict[str, Any] = {"name": "X509v3 Subject Alternative Name"}
        for kind, key in (
            (x509.DNSName, "dNSName"),
            (x509.RFC822Name, "rfc822Name"),
            (x509.UniformResourceIdentifier, "uniformResourceIdentifier"),
            (x509.IPAddress, "iPAddress"),
        ):
            if values := [str(value) for value in names.get_values_for_type(kind)]:
                found[key] = values
        return {_SUBJECT_ALT_NAME: found}

    def pubkey(self) -> tuple[str, str, int]:
        """Return (PEM form, type, bits) of its public key. The type is "RSA", "DSA", "EC" or "Unknown"."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = self._x509.public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        kind = next((name for name in ("RSA", "DSA", "EC") if type(key).__name__.startswith(name)), "Unknown")
        bits = getattr(key, "key_size", None)
        return pem, kind, {"Ed25519": 256, "Ed448": 456}.get(_curve(key), 0) if bits is None else bits

    def getsignaturename(self) -> str:
        """Return the short name of the algorithm that it is signed with, such as "RSA-SHA256"."""
        oid = self._x509.signature_algorithm_oid.dotted_string
        return str(_SIGNATURES.get(oid, oid))

    def setencode(self, encode: str) -> bool:
        """Return whether LuaSec knows the encoding: "ai5" or "utf8". Text is always `str` here."""
        return encode.startswith(("ai5", "utf8"))

    def __eq__(self, other: object) -> bool:
        return self._der == other._der if isinstance(other, Certificate) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._der)

    def __repr__(self) -> str:
        return f"X509 certificate: {id(self):#x}"


def loadcertificate(pem: str | bytes) -> Certificate | None:
    """Return the first certificate in a text in PEM form, None if there is none."""
    text = pem.decode("latin-1") if isinstance(pem, bytes) else pem
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)])
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError):
        return None
    return Certificate(der)


def _attributes(name: Any) -> list[dict[str, str]]:
    found = []
    for attribute in name:
        oid, value = attribute.oid.dotted_string, attribute.value
        text = value if isinstance(value, str) else value.decode("latin-1")
        found.append({"oid": oid, "name": _ATTRIBUTES.get(oid, oid), "value": text})
    return found


def _date(when: datetime) -> str:
    """Return a time as OpenSSL prints it, in any locale."""
    month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][when.month - 1]
    return f"{month} {when.day:2} {when:%H:%M:%S} {when.year} GMT"


def _curve(key: Any) -> str:
    return type(key).__name__.strip("_").removesuffix("PublicKey")
