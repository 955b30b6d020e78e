"""Node's names for encodings: text to bytes for write(), and bytes to text piece by piece for setEncoding()."""

from __future__ import annotations

import base64
import codecs
from typing import Protocol

_TEXT = {
    "utf8": "utf-8",
    "utf-8": "utf-8",
    "ucs2": "utf-16-le",
    "ucs-2": "utf-16-le",
    "utf16le": "utf-16-le",
    "utf-16le": "utf-16-le",
    "latin1": "latin-1",
    "binary": "latin-1",
    "ascii": "ascii",
}
_BYTES = {"hex", "base64", "base64url"}


class Decoder(Protocol):
    def decode(self, data: bytes, final: bool = False) -> str: ...


def encode(text: str, encoding: str | None) -> bytes:
    """Return the bytes of a text. ValueError for an unknown encoding, or a text that is none in it."""
    name = _known(encoding or "utf8")
    if name == "hex":
        return bytes.fromhex(text)
    if name in _BYTES:
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    return text.encode(_TEXT[name], "replace")


def decoder(encoding: str) -> Decoder:
    """Return a decoder that keeps what is no whole character yet. ValueError for an unknown encoding."""
    name = _known(encoding)
    if name == "hex":
        return _Hex()
    if name in _BYTES:
        return _Base64(urlsafe=name == "base64url")
    return codecs.getincrementaldecoder(_TEXT[name])("replace")


def _known(encoding: str) -> str:
    if not isinstance(encoding, str):
        raise TypeError(f"an encoding is a name, not {encoding!r}")
    name = encoding.lower()
    if name not in _TEXT and name not in _BYTES:
        raise ValueError(f"unknown encoding {encoding!r}: it is one of {', '.join(sorted([*_TEXT, *_BYTES]))}")
    return name


class _Hex:
    def decode(self, data: bytes, final: bool = False) -> str:
        return data.hex()


class _Base64:
    """Three bytes are four characters: what is left over waits for the next piece."""

    def __init__(self, *, urlsafe: bool) -> None:
        self._encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
        self._padded = not urlsafe
        self._rest = b""

    def decode(self, data: bytes, final: bool = False) -> str:
        data = self._rest + data
        whole = len(data) if final else len(data) - len(data) % 3
        data, self._rest = data[:whole], data[whole:]
        text = self._encode(data).decode()
        return text if self._padded else text.rstrip("=")
