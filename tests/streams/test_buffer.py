"""The buffer of a stream: finding, taking, and the work that this costs."""

from __future__ import annotations

import array
import copy
import pickle
import sys
from typing import Any

import pytest

import socket2
from socket2 import LimitExceeded
from socket2.streams.buffer import BLOCK, Buffer, joined


def buffer(data: bytes) -> Buffer:
    made = Buffer()
    made.add(data)
    return made


def test_what_is_added_is_taken_in_order() -> None:
    held = buffer(b"abc")
    assert held.take(1) == b"a"
    held.add(b"def")
    held.add(b"gh")
    assert len(held) == 7
    assert held.ahead(False, 4) == b"bcde"
    assert held.take(2) == b"bc"
    assert held.take(1, drop=1) == b"d"
    assert held.take(9) == b"fgh"
    assert len(held) == 0
    held.add(b"x")
    held.clear()
    assert len(held) == 0
    assert held.take(1) == b""


def test_what_was_taken_does_not_change() -> None:
    held = buffer(b"abc")
    held.add(b"def")
    taken = held.take(2)
    held.add(b"xyz")
    assert taken == b"ab"


def test_a_piece_that_is_taken_whole_is_not_copied() -> None:
    piece = bytes(1000)
    assert buffer(piece).take(1000) is piece


def test_an_empty_buffer_owns_nothing() -> None:
    held = buffer(bytes(BLOCK))
    held.add(bytes(BLOCK))
    held.take(BLOCK * 2 - 1)
    held.take(0, drop=1)
    assert held._held == b""
    assert sys.getsizeof(held._held) < 100


def test_a_separator_may_come_in_parts() -> None:
    held = Buffer()
    for byte in b"one\r":
        held.add(bytes([byte]))
        assert held.find(b"\r\n", 100, "it") == -1
    held.add(b"\n")
    assert held.find(b"\r\n", 100, "it") == 3


def test_another_separator_is_looked_for_from_the_start() -> None:
    held = buffer(b"a;b,c")
    assert held.find(b"|", 100, "it") == -1
    assert held.find(b";", 100, "it") == 1
    assert held.find(b",", 100, "it") == 3


@pytest.mark.parametrize("optional", [b"", b"\r"])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_piece_may_be_as_long_as_the_limit(length: int, optional: bytes) -> None:
    data = b"x" * length
    assert buffer(data).find(b"\n", length, "it", optional) == -1
    assert buffer(data + b"\n").find(b"\n", length, "it", optional) == length
    assert buffer(data + b"\nmore\n").find(b"\n", length, "it", optional) == length


@pytest.mark.parametrize("optional", [b"", b"\r"])
@pytest.mark.parametrize("more", [b"y", b"y\n", b"yy", b"y\r\n", b"y" * 100])
def test_one_byte_more_is_too_long(more: bytes, optional: bytes) -> None:
    held = buffer(b"xxx" + more)
    for _ in range(2):  # it stays too long
        with pytest.raises(LimitExceeded, match="it is longer than 3 bytes"):
            held.find(b"\n", 3, "it", optional)
    assert held.ahead(True, 9) == (b"xxx" + more)[:9]


def test_the_optional_byte_does_not_count() -> None:
    held = buffer(b"xxx\r")
    assert held.find(b"\n", 3, "it", b"\r") == -1, "a line feed may come"
    held.add(b"\n")
    assert held.find(b"\n", 3, "it", b"\r") == 4
    for longer in (b"xxx\ry", b"xxx\r\r", b"xxx\r\r\n"):
        with pytest.raises(LimitExceeded):
            buffer(longer).find(b"\n", 3, "it", b"\r")
    with pytest.raises(LimitExceeded):
        buffer(b"xxx\r").find(b"\n", 3, "it")


def test_a_long_separator_may_begin_where_the_limit_is() -> None:
    held = buffer(b"xxx--")
    assert held.find(b"---", 3, "it") == -1
    held.add(b"-")
    assert held.find(b"---", 3, "it") == 3
    with pytest.raises(LimitExceeded):
        buffer(b"xxxx---").find(b"---", 3, "it")


def test_a_higher_limit_finds_what_a_lower_one_did_not() -> None:
    held = buffer(b"x" * 10 + b"\n")
    with pytest.raises(LimitExceeded):
        held.find(b"\n", 5, "it")
    assert held.find(b"\n", 10, "it") == 10


class Counting(bytearray):
    """A bytearray that counts the searched bytes."""

    searched = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        found = super().find(sub, start, end)
        last = min(end, len(self)) if found < 0 else found + 1
        self.searched += last - start
        return found


@pytest.mark.parametrize("piece", [1, 7, BLOCK])
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"--boundary--"])
def test_each_byte_is_searched_once_however_small_the_pieces(
    monkeypatch: pytest.MonkeyPatch, piece: int, separator: bytes
) -> None:
    monkeypatch.setattr("socket2.streams.buffer.bytearray", Counting, raising=False)
    size = 20_000 if piece < 100 else 3_000_000
    held = Buffer()
    pieces = 0
    while len(held) < size:
        held.add(b"x" * piece)
        assert held.find(separator, size * 2, "it") == -1
        pieces += 1
    held.add(separator)
    assert held.find(separator, size * 2, "it") >= size
    assert isinstance(held._held, Counting)
    assert len(held) - piece <= held._held.searched <= len(held) + (pieces + 1) * len(separator)


def test_taking_a_little_from_the_front_does_not_move_the_rest() -> None:
    """If the rest were copied each time, the memory would be at another address, or shrunk to fit, each time."""
    held = buffer(b"x")
    held.add(bytes(1 << 20))
    grown = held._held
    assert isinstance(grown, bytearray)
    rooms = set()
    for _ in range(1000):
        held.take(100)
        held.add(b"y")
        rooms.add(grown.__alloc__())
    assert held._held is grown
    assert len(rooms) <= 2
    assert len(held) == (1 << 20) + 1 - 99_000


# Joining.


def parts(*sizes: int) -> list[bytes]:
    return [bytes([n % 251]) * size for n, size in enumerate(sizes)]


def test_nothing_joined_is_nothing() -> None:
    assert list(joined([])) == []
    assert list(joined([b"", b""])) == []


def test_small_pieces_are_joined() -> None:
    given = parts(*[100] * 2000)
    blocks = [bytes(block) for block in joined(given)]
    assert b"".join(blocks) == b"".join(given)
    assert len(blocks) == 4
    assert all(len(block) >= BLOCK for block in blocks[:-1])


def test_a_large_piece_is_not_copied() -> None:
    large = bytearray(BLOCK)
    given: list[bytes | bytearray] = [b"before", large, b"after", b"more"]
    found = []
    for block in joined(given):
        found.append(bytes(block))
        if len(block) == BLOCK:
            assert isinstance(block, memoryview)
            assert block.obj is large
    assert found == [b"before", bytes(large), b"aftermore"]


def test_pieces_of_any_kind_of_bytes() -> None:
    given: list[Any] = [b"a", bytearray(b"b"), memoryview(b"c"), array.array("H", [0x6464])]
    assert b"".join(bytes(block) for block in joined(given)) == b"abcdd"


def test_pieces_are_asked_for_as_they_are_sent() -> None:
    asked = []

    def pieces() -> Any:
        for n in range(3):
            asked.append(n)
            yield bytes(BLOCK)

    blocks = joined(pieces())
    next(blocks)
    assert asked == [0]


@pytest.mark.parametrize(
    "error",
    [
        socket2.Closed("mine"),
        socket2.Busy("yours"),
        socket2.IncompleteRead("a line", b"par"),
        socket2.LimitExceeded("a line", 5),
        socket2.Cancelled("now"),
    ],
)
def test_exceptions_survive_pickle_and_copy(error: BaseException) -> None:
    error.bytes_sent = 7  # type: ignore[attr-defined]
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
        assert getattr(other, "errno", None) == getattr(error, "errno", None)
