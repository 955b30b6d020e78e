"""Decodes bodies: gzip, deflate, br, zstd. A little data may become a lot, so each step returns a limited amount.

br and zstd need packages whose decoders can stop at a limit: `brotli` 1.2 or later, and `compression.zstd` of Python
3.14 or `backports.zstd`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

_CODINGS_MAX = 4


class DecodingError(Exception):
    """The body is not in the coding that its Content-Encoding names."""


class Decoder(Protocol):
    """Decodes one coding."""

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        """Return up to `max_bytes` bytes of what `data` stands for, b"" if more data must be given.

        Until it has returned b"", call it with data b"": it goes on with what it has. Raises DecodingError.
        """

    def check_end(self) -> None:
        """Raise DecodingError if the data has ended in the middle."""


class _Gzip:
    """Several members may follow each other. What follows the first one and is none is ignored, as by browsers."""

    __slots__ = ("_begun", "_decoder", "_is_first", "_left", "_over")

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)
        self._left = b""
        self._begun = self._over = False
        self._is_first = True

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        data, self._left = self._left + data, b""
        self._begun = self._begun or bool(data)
        while not self._over:
            if self._decoder.eof:
                if not data:
                    break
                self._decoder = zlib.decompressobj(31)
                self._is_first = False
            try:
                out = self._decoder.decompress(data, max_bytes)
            except zlib.error as error:
                if self._is_first:
                    raise DecodingError(str(error)) from None
                self._over = True
                break
            data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            if out or not self._decoder.eof:
                self._left = data
                return out
        return b""

    def check_end(self) -> None:
        if self._begun and self._is_first and not self._decoder.eof:
            raise DecodingError("the compressed data ends in the middle")


class _Deflate:
    """The format of zlib, or what some servers send instead of it: deflate without a header."""

    __slots__ = ("_decoder", "_left")

    def __init__(self) -> None:
        self._decoder: Any = None
        self._left = b""

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        data, self._left = self._left + data, b""
        if self._decoder is None:
            if len(data) < 2:
                self._left = data
                return b""
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._decoder = zlib.decompressobj(15 if has_header else -15)
        if self._decoder.eof:
            return b""
        try:
            out: bytes = self._decoder.decompress(data, max_bytes)
        except zlib.error as error:
            raise DecodingError(str(error)) from None
        self._left = self._decoder.unconsumed_tail
        return out

    def check_end(self) -> None:
        if self._left or (self._decoder is not None and not self._decoder.eof):
            raise DecodingError("the compressed data ends in the middle")


class _Brotli:
    """The limit of the decoder is one for what it keeps, not an exact one."""

    __slots__ = ("_begun", "_decoder", "_error", "_ready")

    def __init__(self, module: Any) -> None:
        self._decoder = module.Decompressor()
        self._error = module.error
        self._begun = False
        self._ready = b""

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        self._begun = self._begun or bool(data)
        if not self._ready and (data or (self._begun and not self._decoder.is_finished())):
            try:
                self._ready = self._decoder.process(data, output_buffer_limit=max_bytes)
            except self._error as error:
                raise DecodingError(f"not br: {error}") from None
        out, self._ready = self._ready[:max_bytes], self._ready[max_bytes:]
        return out

    def check_end(self) -> None:
        if self._begun and not self._decoder.is_finished():
            raise DecodingError("the compressed data ends in the middle")


class _Zstd:
    """zstd, which may have several frames. Its window is 8 MB at most: RFC 9659."""

    __slots__ = ("_begun", "_decoder", "_left", "_module")

    def __init__(self, module: Any) -> None:
        self._module = module
        self._decoder = self._new()
        self._left = b""
        self._begun = False

    def _new(self) -> Any:
        return self._module.ZstdDecompressor(options={self._module.DecompressionParameter.window_log_max: 23})

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        self._begun = self._begun or bool(data)
        data, self._left = self._left + data, b""
        try:
            while True:
                if self._decoder.eof:
                    if not data:
                        return b""
                    self._decoder = self._new()
                out: bytes = self._decoder.decompress(data, max_bytes)
                data = self._decoder.unused_data if self._decoder.eof else b""
                if out or not self._decoder.eof:
                    self._left = data
                    return out
        except self._module.ZstdError as error:
            raise DecodingError(f"not zstd: {error}") from None

    def check_end(self) -> None:
        if self._begun and not self._decoder.eof:
            raise DecodingError("the compressed data ends in the middle")


class _Chain:
    """Several codings, the last one outside."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner

    def decode(self, data: bytes, max_bytes: int) -> bytes:
        if not data and (out := self._inner.decode(b"", max_bytes)):
            return out
        while between := self._outer.decode(data, max_bytes):
            data = b""
            if out := self._inner.decode(between, max_bytes):
                return out
        return b""

    def check_end(self) -> None:
        self._outer.check_end()
        self._inner.check_end()


@lru_cache(maxsize=1)
def _makers() -> dict[str, Callable[[], Decoder]]:
    """Return the codings that this installation knows, the preferred ones first."""
    makers: dict[str, Callable[[], Decoder]] = {"gzip": _Gzip, "deflate": _Deflate}
    try:
        import brotli
    except ImportError:
        pass
    else:
        if hasattr(getattr(brotli, "Decompressor", None), "can_accept_more_data"):
            makers["br"] = lambda: _Brotli(brotli)
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        pass
    else:
        makers["zstd"] = lambda: _Zstd(zstd)
    return makers


def accepted() -> str:
    """Return the value of Accept-Encoding for what can be decoded."""
    return ", ".join(_makers())


def decoder_of(content_encoding: str) -> Decoder | None:
    """Return a decoder, None if the body is not coded or its coding is not known. Raises DecodingError."""
    names = [
        name for part in content_encoding.lower().split(",") if (name := part.strip(" \t")) not in ("", "identity")
    ]
    if len(names) > _CODINGS_MAX:
        raise DecodingError("the body has too many codings")
    decoder: Decoder | None = None
    makers = _makers()
    for name in names:
        make = makers.get(name.removeprefix("x-"))
        if make is None:
            return None
        decoder = make() if decoder is None else _Chain(make(), decoder)
    return decoder
