"""Node's encodings by name: text to bytes for write(), and bytes to text piece by piece for setEncoding()."""

from __future__ import annotations

import base64
import codecs
from typing import Any, Protocol

from .failures import told

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
    """Return text as bytes. Raises ValueError if the encoding is unknown or the text is not valid in it."""
    name = _known(encoding or "utf8")
    if name in _BYTES:
        try:
            return bytes.fromhex(text) if name == "hex" else _from_base64(text)
        except ValueError as error:
            raise told(error, code="ERR_INVALID_ARG_VALUE") from None
    try:
        return text.encode("latin-1" if name == "ascii" else _TEXT[name])
    except UnicodeEncodeError:
        if not name.startswith(("utf", "ucs")):
            return text.encode(_TEXT[name], "replace")
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.encode(_TEXT[name])


def bytes_of(data: Any, encoding: str | None) -> bytes:
    """Return the bytes to send. Raises TypeError if `data` is neither bytes nor text; otherwise as encode() does."""
    if isinstance(data, str):
        return encode(data, encoding)
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise told(TypeError(f"data must be bytes or text, not {data!r}"), code="ERR_INVALID_ARG_TYPE") from None


def decoder(encoding: str) -> Decoder:
    """Return a decoder that keeps incomplete characters. Raises ValueError if the encoding is unknown."""
    name = _known(encoding)
    if name == "hex":
        return _Hex()
    if name in _BYTES:
        return _Base64(urlsafe=name == "base64url")
    return codecs.getincrementaldecoder(_TEXT[name])("replace")


def _known(encoding: str) -> str:
    if not isinstance(encoding, str):
        raise told(TypeError(f"encoding must be a string, not {encoding!r}"), code="ERR_INVALID_ARG_TYPE")
    name = encoding.lower()
    if name not in _TEXT and name not in _BYTES:
        wrong = ValueError(f"unknown encoding {encoding!r}: expected one of {', '.join(sorted([*_TEXT, *_BYTES]))}")
        raise told(wrong, code="ERR_UNKNOWN_ENCODING")
    return name


def _from_base64(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


class _Hex:
    def decode(self, data: bytes, final: bool = False) -> str:
        return data.hex()


class _Base64:
    """Three bytes make four characters. The decoder keeps a remainder for the next piece."""

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
