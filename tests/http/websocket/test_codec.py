"""Frames and compression, without I/O: what is taken and refused, in whatever pieces it comes."""

from __future__ import annotations

import os
import random
import zlib
from typing import Any

import pytest

from socket2.http.websocket.closing import Close, Violation
from socket2.http.websocket.codec import Control, Fragment, Frames, Message
from socket2.http.websocket.deflate import Agreement, Deflate

from ..sides import split
from .scene import BINARY, CLOSE, PING, PONG, TEXT, closing, frame

BOMB = 1 << 16


def deflate(takes_over: bool = True, bits: int = 12) -> Deflate:
    return Deflate(Agreement(bits, takes_over, bits, takes_over))


def read(frames: Frames, *pieces: bytes) -> list[Any]:
    """Return what comes out. At a violation, its code is the last element."""
    found: list[Any] = []
    for piece in pieces:
        frames.receive(piece)
        try:
            while (event := frames.next()) is not None:
                if isinstance(event, Fragment) and event.last:
                    frames.joined = 0
                found.append(event)
        except Violation as error:
            return [*found, error.code]
    return found


def refusal(data: bytes, max_bytes: int | None = None, compressed: bool = False) -> Any:
    """Return the code with which a server refuses these bytes, or what it takes."""
    return read(Frames(False, max_bytes, deflate() if compressed else None), data)[-1]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("is_client", [False, True])
def test_messages_of_any_length_survive(size: int, is_client: bool) -> None:
    ours, theirs = Frames(is_client), Frames(not is_client)
    data = os.urandom(size)
    text = "é" * (size // 2)
    sent = ours.encode(False, data, True) + ours.encode(True, text.encode(), True)
    assert read(theirs, sent) == [Fragment(data, True), Fragment(text, True)]


def test_a_head_is_as_short_as_possible() -> None:
    for size, head in [(125, b"\x82\x7d"), (126, b"\x82\x7e\x00\x7e"), (65536, b"\x82\x7f" + (65536).to_bytes(8))]:
        assert Frames(False).encode(False, bytes(size), True) == head + bytes(size)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("compressed", [False, True])
def test_pieces_of_any_size_give_the_same(seed: int, compressed: bool) -> None:
    rng = random.Random(seed)
    ours = Frames(True, None, deflate() if compressed else None)
    stream, expected = b"", []
    for _ in range(10):
        text = "".join(rng.choices("aé\u20ac\U0001f600", k=rng.randrange(300)))
        is_text = rng.random() < 0.5
        cut = rng.randrange(len(text) + 1)
        octets = [text[:cut].encode(), text[cut:].encode()]
        stream += ours.encode(is_text, octets[0], False) + ours.control(9, b"!") + ours.encode(is_text, octets[1], True)
        expected.append(text if is_text else b"".join(octets))
    found, message = [], Message()
    for event in read(Frames(False, None, deflate() if compressed else None), *split(stream, rng)):
        if isinstance(event, Fragment):
            message.add(event.data)
            if event.last:
                found.append(message.whole())
                message = Message()
        else:
            assert event == Control(True, b"!")
    assert found == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"a", mask=False), 1002),
        (frame(0xA1, b"a"), 1002),  # reserved bits
        (frame(0x91, b"a"), 1002),
        (frame(0xC1, b"a"), 1002),  # compressed, without an agreement
        (frame(0x83, b"a"), 1002),  # reserved opcodes
        (frame(0x87, b"a"), 1002),
        (frame(0x8B, b"a"), 1002),
        (frame(0x8F, b"a"), 1002),
        (frame(0x80, b"a"), 1002),  # continues nothing
        (frame(0x00, b"a"), 1002),
        (frame(0x01, b"a") + frame(TEXT, b"b"), 1002),
        (frame(0x02, b"a") + frame(0x01, b"b"), 1002),
        (frame(PING, bytes(126)), 1002),
        (frame(0x09, b"a"), 1002),  # fragmented
        (frame(0x08, closing(1000)), 1002),
        (b"\x82\xfe\x00\x7d", 1002),  # not the shortest length
        (b"\x82\xff" + (65535).to_bytes(8), 1002),
        (b"\x82\xff" + (1 << 63).to_bytes(8), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, "\ud800".encode("utf-8", "surrogatepass")), 1007),
        (frame(TEXT, b"\xc0\x80"), 1007),
        (frame(TEXT, "é".encode()[:1]), 1007),
        (frame(0x01, b"\xff"), 1007),  # at once, and not at the end
        (frame(0x01, "é".encode()[:1]) + frame(0x80, b"e"), 1007),
        (frame(0x01, "é".encode()[:1]) + frame(0x80, b""), 1007),
        (frame(CLOSE, closing(1000) + b"\xff"), 1007),
    ],
)
def test_what_is_refused(data: bytes, code: int) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_no_close_may_have(code: int) -> None:
    assert refusal(frame(CLOSE, closing(code))) == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_that_a_close_may_have(code: int) -> None:
    assert refusal(frame(CLOSE, closing(code, "é"))) == Close(code, "é")


def test_a_close_without_a_code() -> None:
    assert refusal(frame(CLOSE)) == Close(1005, "")
    assert Frames(False).close(Close(1005, "")) == frame(CLOSE, mask=False)


@pytest.mark.parametrize("compressed", [False, True])
def test_bits_that_only_the_first_frame_of_a_compressed_message_may_have(compressed: bool) -> None:
    assert refusal(frame(0xC9, b""), compressed=compressed) == 1002
    assert refusal(frame(0x41, b"\0") + frame(0xC0, b"\0"), compressed=compressed) == 1002


def test_a_client_refuses_a_mask() -> None:
    assert read(Frames(True), frame(TEXT, b"a")) == [1002]


def test_too_much_is_refused_before_it_comes() -> None:
    assert refusal(frame(BINARY, bytes(10)), 10) == Fragment(bytes(10), True)
    for data in (frame(BINARY, bytes(11)), frame(BINARY, bytes(200)), frame(BINARY, bytes(70_000))):
        assert refusal(data[:10], 10) == 1009
    assert refusal(frame(0x02, bytes(6)) + frame(0x80, bytes(5))[:2], 10) == 1009
    assert refusal(frame(0x02, bytes(6)) + frame(PING, bytes(100)) + frame(0x80, bytes(4)), 10) == Fragment(
        bytes(4), True
    )
    assert refusal(frame(TEXT), 0) == Fragment("", True)


def test_a_limit_counts_for_each_message() -> None:
    data = frame(0x02, bytes(6)) + frame(0x80, bytes(4))
    assert len(read(Frames(False, 10), data * 3)) == 6


# Compression.


@pytest.mark.parametrize("takes_over", [True, False])
@pytest.mark.parametrize("bits", [9, 15])
def test_compressed_messages(takes_over: bool, bits: int) -> None:
    ours, theirs = Frames(True, None, deflate(takes_over, bits)), Frames(False, None, deflate(takes_over, bits))
    text = "hello " * 100
    for _ in range(3):
        sent = ours.encode(True, text.encode(), True)
        assert sent[0] == 0xC1
        assert len(sent) < 100
        assert read(theirs, sent) == [Fragment(text, True)]
    again = [len(ours.encode(True, os.urandom(300).hex().encode(), True)) for _ in range(2)]
    assert abs(again[0] - again[1]) < 30


def test_a_short_message_is_not_compressed() -> None:
    assert Frames(False, None, deflate()).encode(True, b"hello", True) == frame(TEXT, b"hello", mask=False)


def test_an_example_of_the_standard() -> None:
    """RFC 7692, 7.2.3: one message, in fragments, without compression, in two blocks, with an end of the stream."""
    hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    data = (
        frame(0xC1, hello)
        + frame(0xC1, b"\xf2\x00\x11\x00\x00")
        + frame(0x41, hello[:3])
        + frame(0x80, hello[3:])
        + frame(0xC1, b"\x00\x05\x00\xfa\xff" + b"Hello" + b"\x00")
        + frame(0xC1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")
        + frame(0xC1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")
    )
    found = read(Frames(False, None, deflate()), data)
    assert "".join(fragment.data for fragment in found) == "Hello" * 6
    assert [fragment.last for fragment in found] == [True, True, False, True, True, True, True]


def test_what_cannot_be_decompressed() -> None:
    assert refusal(frame(0xC2, b"\xff\xff\xff"), compressed=True) == 1002


def test_a_message_that_grows_beyond_the_limit() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = compressor.compress(bytes(100 * BOMB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < BOMB
    for max_bytes in (0, 1, BOMB, 100 * BOMB - 1):
        assert refusal(frame(0xC2, bomb[:-4]), max_bytes, compressed=True) == 1009
    assert refusal(frame(0xC2, bomb[:-4]), 100 * BOMB, compressed=True) == Fragment(bytes(100 * BOMB), True)


def test_a_compressed_message_that_is_much_longer_than_it_becomes() -> None:
    nothing = b"\x00\x00\x00\xff\xff" * 1000
    assert refusal(frame(0xC2, nothing), 100, compressed=True) == 1009


def test_many_streams_in_one_message() -> None:
    assert refusal(frame(0xC2, b"\x03\x00" * 100_000), compressed=True) == 1002


def test_text_is_checked_after_decompression() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = compressor.compress(b"\xff") + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert refusal(frame(0xC1, data[:-4]), compressed=True) == 1007


def test_the_kind_of_a_message_cannot_change() -> None:
    ours = Frames(False)
    ours.encode(True, b"a", False)
    with pytest.raises(TypeError, match="must be all str, or all bytes"):
        ours.encode(False, b"b", True)
    assert ours.encode(True, b"b", True) == frame(0x80, b"b", mask=False)


def test_a_pong() -> None:
    assert read(Frames(False), frame(PONG, b"a")) == [Control(False, b"a")]
