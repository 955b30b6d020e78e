"""Compressed bodies: whatever the pieces are, within limits, and complete."""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from socket2.http import Client, ResponseError
from socket2.http.client.decoding import DecodingError, accepted, decoder_of

from .scripted import Steps, always, answer, in_thread, serving

PLAIN = b"".join(b"%d " % n for n in range(4000))


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


def brotli(data: bytes) -> bytes:
    module = pytest.importorskip("brotli", reason="brotli is not installed (pip install brotli)")
    return bytes(module.compress(data, quality=1))


def zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        module = pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    return bytes(module.compress(data))


Code = Callable[[bytes], bytes]
CODINGS: dict[str, tuple[str, Code]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "two members": ("gzip", lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:])),
    "padded": ("gzip", lambda data: gzip.compress(data) + bytes(10)),
    "trailing": ("gzip", lambda data: gzip.compress(data) + b"rubbish"),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli),
    "zstd": ("zstd", zstd),
    "two frames": ("zstd", lambda data: zstd(data[:5000]) + zstd(data[5000:])),
    "two codings": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "identity": ("identity, gzip", gzip.compress),
}
codings = pytest.mark.parametrize(("name", "code"), CODINGS.values(), ids=CODINGS)
complete = pytest.mark.parametrize(
    ("name", "code"), [CODINGS[key] for key in ("gzip", "deflate", "br", "zstd", "two codings")]
)


def pieces(data: bytes, rng: random.Random) -> Iterator[bytes]:
    while data:
        size = rng.choice((1, 2, 10, 1000, 100_000))
        yield data[:size]
        data = data[size:]


def decoded(name: str, coded: bytes, seed: int, most: int) -> bytes:
    decoder = decoder_of(name)
    assert decoder is not None
    found = []
    for piece in pieces(coded, random.Random(seed)):
        data = piece
        while out := decoder.decode(data, most):
            assert len(out) <= most
            found.append(out)
            data = b""
    decoder.check_end()
    return b"".join(found)


@codings
def test_whatever_the_pieces_are(name: str, code: Code) -> None:
    coded = code(PLAIN)
    for seed, most in enumerate((65536, 65536, 1000, 100_000)):
        assert decoded(name, coded, seed, most) == PLAIN


@complete
def test_what_is_cut_off_is_noticed(name: str, code: Code) -> None:
    coded = code(PLAIN)
    for size in (1, 10, len(coded) // 2, len(coded) - 1):
        with pytest.raises(DecodingError, match="ends in the middle"):
            decoded(name, coded[:size], 0, 65536)
    assert decoded(name, b"", 0, 65536) == b""


@complete
def test_what_is_wrong_is_refused(name: str, code: Code) -> None:
    code(b"")
    with pytest.raises(DecodingError):
        decoded(name, b"\xff" * 3000, 0, 65536)


@complete
@in_thread
def test_a_bomb_comes_piece_by_piece(name: str, code: Code) -> Steps:
    """The program decides how much it takes."""
    bomb = code(bytes(3_000_000))
    data = [answer(bomb, f"Content-Encoding: {name}")] * 2
    with serving(always(*data)) as server, Client() as client:
        with (yield from client.request("GET", server.url)) as response:
            for _ in range(10):
                piece = yield from response.recv(1000)
                assert 0 < len(piece) <= 1000
                assert not any(piece)
    with serving(always(*data)) as server, Client() as client:
        with (yield from client.request("GET", server.url)) as response:
            with pytest.raises(ResponseError, match="larger than 100000 bytes"):
                yield from response.read(100_000)


@in_thread
def test_a_response_is_decoded_or_not() -> Steps:
    data = answer(gzip.compress(b"hello\nworld"), "Content-Encoding: gzip")
    with serving(always(data, data, data)) as server:
        with Client() as client:
            with (yield from client.request("GET", server.url)) as response:
                assert (yield from response.read()) == b"hello\nworld"
            assert server.fields()["accept-encoding"] == accepted()
            with (yield from client.request("GET", server.url)) as response:
                assert (yield from response.recvline()) == b"hello"
                assert (yield from response.recvline()) == b"world"
                assert (yield from response.recvline()) is None
        with Client(decompress=False) as client:
            with (yield from client.request("GET", server.url)) as response:
                assert gzip.decompress((yield from response.read())) == b"hello\nworld"
            assert "accept-encoding" not in server.fields()


@in_thread
def test_a_response_whose_coding_is_cut_off() -> Steps:
    data = answer(gzip.compress(PLAIN)[:-4], "Content-Encoding: gzip")
    with serving(always(data)) as server, Client() as client:
        with (yield from client.request("GET", server.url)) as response:
            with pytest.raises(ResponseError, match="cannot be decoded: the compressed data ends in the middle"):
                yield from response.read()


def test_codings_that_are_not_known() -> None:
    values: list[Any] = ["", "identity", "unheard-of", "gzip, unheard-of", " , "]
    assert [decoder_of(value) for value in values] == [None] * 5
