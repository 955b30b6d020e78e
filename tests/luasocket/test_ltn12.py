"""LTN12: filters, sources, sinks, pumps."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import luasocket
from socket2.luasocket import ltn12

from .face import Do


def upper(chunk: Any) -> Any:
    return chunk and chunk.upper()


def encode(ctx: bytes, chunk: Any, wrap: Any) -> tuple[Any, bytes]:
    """A low-level filter: base64, which needs three bytes at a time, and wraps each four in something."""
    if chunk is None:
        return (base64.b64encode(ctx) + wrap if ctx else None), b""
    data = ctx + chunk
    whole = len(data) - len(data) % 3
    return b"".join(base64.b64encode(data[at : at + 3]) + wrap for at in range(0, whole, 3)), data[whole:]


def encoder(wrap: bytes = b"") -> ltn12.filter.Filter:
    return ltn12.filter.cycle(encode, b"", wrap)


def slowly(n: int) -> ltn12.filter.Filter:
    """A filter that returns its data in pieces of `n` bytes, one for each call."""
    kept = b""

    def give(chunk: Any) -> Any:
        nonlocal kept
        kept += chunk or b""
        piece, kept = kept[:n], kept[n:]
        return None if chunk is None and not piece else piece

    return give


def through(filter: ltn12.filter.Filter, *chunks: bytes) -> list[bytes]:
    """Return what a filter makes of chunks, when it is used as LTN12 says."""
    given = []
    for chunk in (*chunks, None):
        piece = filter(chunk)
        while piece not in (b"", None):
            given.append(piece)
            piece = filter(b"" if chunk is not None else None)
    return given


async def everything(do: Do, source: Callable[[], Any]) -> list[Any]:
    sink, chunks = ltn12.sink.table()
    assert await do(ltn12.pump.all, source, sink) == (1, None)
    return chunks


# Filters.


def test_a_filter_of_a_function_that_keeps_a_context() -> None:
    assert through(encoder(b"\n"), b"hell", b"o wor", b"ld") == [b"aGVs\n", b"bG8g\nd29y\n", b"bGQ=\n"]


@pytest.mark.parametrize("pieces", [1, 2, 3, 100])
def test_a_chain_of_filters(pieces: int) -> None:
    chain = ltn12.filter.chain(slowly(pieces), upper, encoder(), slowly(pieces))
    text = b"all of this, whatever its pieces"
    assert base64.b64decode(b"".join(through(chain, text[:7], b"", text[7:]))) == text.upper()


def test_a_chain_of_one() -> None:
    assert through(ltn12.filter.chain(upper), b"a", b"b") == [b"A", b"B"]
    with pytest.raises(TypeError, match="at least one"):
        ltn12.filter.chain()


def test_a_filter_that_does_not_keep_to_it_raises() -> None:
    with pytest.raises(RuntimeError, match="inappropriate None"):
        ltn12.filter.chain(lambda chunk: None, upper)(b"x")
    with pytest.raises(RuntimeError, match="inappropriate b''"):
        ltn12.filter.chain(lambda chunk: b"", upper)(None)


# Sources.


async def test_sources(do: Do) -> None:
    source = ltn12.source
    assert await everything(do, source.empty()) == []
    assert await everything(do, source.table([b"a", b"b", None, b"c"])) == [b"a", b"b"]
    assert await everything(do, source.string(b"x" * 5000)) == [b"x" * 2048, b"x" * 2048, b"x" * 904]
    assert await everything(do, source.cat(source.table([b"a"]), source.empty(), source.table([b"b"]))) == [b"a", b"b"]
    assert await do(source.error("bad")) == (None, "bad")
    assert await do(source.cat(source.table([b"a"]), source.error("bad"))) == (b"a", None)


async def test_a_source_of_a_file(do: Do) -> None:
    file = io.BytesIO(b"x" * 3000)
    source = ltn12.source.file(file)
    assert await everything(do, source) == [b"x" * 2048, b"x" * 952]
    assert file.closed
    assert await do(source) == (None, None)
    assert await do(ltn12.source.file(None, "no such file")) == (None, "no such file")
    assert await do(ltn12.source.file(None)) == (None, "unable to open file")


async def test_a_source_that_takes_back(do: Do) -> None:
    source = ltn12.source.rewind(ltn12.source.table([b"1", b"2"]))
    assert await do(source) == (b"1", None)
    assert await do(source, b"1") == (None, None)
    assert await do(source, b"0") == (None, None)
    assert await everything(do, source) == [b"0", b"1", b"2"]


async def test_a_fancy_source(do: Do) -> None:
    def first() -> Any:
        return b"first", lambda: (b"second", lambda: (None, None))

    assert await everything(do, ltn12.source.simplify(first)) == [b"first", b"second"]
    assert await do(ltn12.source.simplify(lambda: (None, "bad"))) == (None, "bad")


async def test_a_source_through_filters(do: Do) -> None:
    source = ltn12.source.chain(ltn12.source.table([b"hell", b"", b"o"]), upper, encoder(), slowly(3))
    assert base64.b64decode(b"".join(await everything(do, source))) == b"HELLO"
    failing = ltn12.source.chain(ltn12.source.error("bad"), upper)
    assert await do(failing) == await do(failing) == (None, "bad")
    with pytest.raises(TypeError, match="at least one"):
        ltn12.source.chain(source)


# Sinks.


async def test_sinks(do: Do) -> None:
    assert await do(ltn12.sink.null(), b"x") == (1, None)
    assert await do(ltn12.sink.null(), None, "err") == (1, None)
    assert await do(ltn12.sink.error("bad"), b"x") == (None, "bad")
    mine: list[bytes] = [b"0"]
    sink, chunks = ltn12.sink.table(mine)
    assert chunks is mine
    for chunk in (b"1", b"", None):
        assert await do(sink, chunk) == (1, None)
    assert mine == [b"0", b"1", b""]


async def test_a_sink_into_a_file(do: Do) -> None:
    class File(io.BytesIO):
        def write(self, data: Any) -> int:
            if data == b"full":
                raise OSError("no room")
            return super().write(data)

    file = File()
    sink = ltn12.sink.file(file)
    assert await do(sink, b"hello") == (1, None)
    assert await do(sink, b"full") == (None, "no room")
    assert file.getvalue() == b"hello"
    assert await do(sink, None) == (1, None)
    assert file.closed
    assert await do(ltn12.sink.file(None), b"x") == (None, "unable to open file")


async def test_a_fancy_sink(do: Do) -> None:
    kept: list[Any] = []

    def second(chunk: Any, err: Any) -> Any:
        kept.append(("second", chunk))
        return 1, None

    def first(chunk: Any, err: Any) -> Any:
        kept.append(("first", chunk))
        return 1, second

    sink = ltn12.sink.simplify(first)
    for chunk in (1, 2, 3):
        assert await do(sink, chunk) == (1, None)
    assert kept == [("first", 1), ("second", 2), ("second", 3)]


async def test_a_sink_through_filters(do: Do) -> None:
    sink, chunks = ltn12.sink.table()
    chained = ltn12.sink.chain(upper, encoder(), slowly(3), sink)
    for chunk in (b"hell", b"", b"o", None):
        assert await do(chained, chunk) == (1, None)
    assert base64.b64decode(b"".join(chunks)) == b"HELLO"
    assert await do(ltn12.sink.chain(upper, ltn12.sink.error("bad")), b"x") == (None, "bad")
    with pytest.raises(TypeError, match="at least one"):
        ltn12.sink.chain(sink)


# Pumps.


async def test_a_step(do: Do) -> None:
    sink, chunks = ltn12.sink.table()
    source = ltn12.source.table([b"a"])
    assert await do(ltn12.pump.step, source, sink) == (1, None)
    assert await do(ltn12.pump.step, source, sink) == (None, None)
    assert chunks == [b"a"]


async def test_errors_end_a_pump(do: Do) -> None:
    pump = ltn12.pump.all
    assert await do(pump, ltn12.source.error("bad source"), ltn12.sink.null()) == (None, "bad source")
    assert await do(pump, ltn12.source.table([b"a"]), ltn12.sink.error("bad sink")) == (None, "bad sink")
    told: list[Any] = []

    def sink(chunk: Any, err: Any) -> Any:
        told.append((chunk, err))
        return 1, None

    assert await do(pump, ltn12.source.error("bad"), sink) == (None, "bad")
    assert told == [(None, "bad")], "the sink is told of the source's error"


async def test_a_pump_with_steps_of_ones_own(do: Do) -> None:
    steps: list[int] = []

    def step(source: Any, sink: Any) -> Any:
        steps.append(1)
        return ltn12.pump.step(source, sink)

    assert await do(ltn12.pump.all, ltn12.source.table([b"a", b"b"]), ltn12.sink.null(), step) == (1, None)
    assert len(steps) == 3


@pytest.mark.parametrize("kind", ["plain", "generator", "async"])
async def test_ones_own_sources_and_sinks_may_wait(do: Do, kind: str) -> None:
    left, kept = [b"a", b"b"], []

    def next_chunk() -> Any:
        return (left.pop(0) if left else None), None

    def keep(chunk: Any) -> Any:
        kept.append(chunk)
        return 1, None

    def generator_source() -> Any:
        yield from luasocket.sleep(0.001)
        return next_chunk()

    def generator_sink(chunk: Any, err: Any) -> Any:
        yield from luasocket.sleep(0.001)
        return keep(chunk)

    async def async_source() -> Any:
        await luasocket.sleep(0.001)
        return next_chunk()

    async def async_sink(chunk: Any, err: Any) -> Any:
        await luasocket.sleep(0.001)
        return keep(chunk)

    source, sink = {
        "plain": (next_chunk, lambda chunk, err: keep(chunk)),
        "generator": (generator_source, generator_sink),
        "async": (async_source, async_sink),
    }[kind]
    assert await do(ltn12.pump.all, ltn12.source.chain(source, upper), ltn12.sink.chain(upper, sink)) == (1, None)
    assert kept == [b"A", b"B", None]
