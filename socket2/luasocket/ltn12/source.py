"""Sources: functions that return (chunk, None), at the end (None, None), or (None, err)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import IO, Any

from pollers import Operation

from ..calls import call, outcome, setting
from .filter import Filter, link

Pulled = tuple[Any, Any]
Source = Callable[[], Any]
"""A function that returns a Pulled, or something to wait for that returns one."""


def empty() -> Callable[[], Operation[Pulled]]:
    """Return a source that is at its end."""
    return table([])


def error(err: Any) -> Callable[[], Operation[Pulled]]:
    """Return a source that always returns an error."""

    @call
    def failing() -> Generator[Any, None, Pulled]:
        return None, err
        yield

    return failing


def string(data: bytes) -> Callable[[], Operation[Pulled]]:
    """Return a source of the bytes of `data`, in blocks."""
    size = setting("BLOCKSIZE")
    return table([data[at : at + size] for at in range(0, len(data), size)])


def table(chunks: list[Any]) -> Callable[[], Operation[Pulled]]:
    """Return a source of the chunks in a list, up to its end or the first None."""
    at = 0

    @call
    def from_table() -> Generator[Any, None, Pulled]:
        nonlocal at
        chunk = chunks[at] if at < len(chunks) else None
        at += 1
        return chunk, None
        yield

    return from_table


def file(handle: IO[bytes] | None, io_err: Any = None) -> Callable[[], Operation[Pulled]]:
    """Return a source of a file opened in binary mode, in blocks. The file is closed at its end.

    If there is no file, the source returns the error `io_err`. Reading a file blocks all threads.
    """
    if handle is None:
        return error(io_err or "unable to open file")

    @call
    def from_file() -> Generator[Any, None, Pulled]:
        chunk = b"" if handle.closed else handle.read(setting("BLOCKSIZE"))
        if not chunk:
            handle.close()
        return chunk or None, None
        yield

    return from_file


def simplify(src: Callable[[], Any]) -> Callable[[], Operation[Pulled]]:
    """Make a source from a fancy one. That returns a chunk and the source to ask next, or None for itself."""

    @call
    def simple() -> Generator[Any, None, Pulled]:
        nonlocal src
        chunk, err_or_next = yield from outcome(src())
        if chunk is None:
            return None, err_or_next
        src = err_or_next or src
        return chunk, None

    return simple


def rewind(src: Source) -> Callable[..., Operation[Pulled]]:
    """Return a source that takes chunks back: `rewound(chunk)`. The last one given back comes first."""
    back: list[Any] = []

    @call
    def rewound(chunk: Any = None) -> Generator[Any, None, Pulled]:
        if chunk is not None:
            back.append(chunk)
            return None, None
        if back:
            return back.pop(), None
        result: Pulled = yield from outcome(src())
        return result

    return rewound


def chain(src: Source, *filters: Filter) -> Callable[[], Operation[Pulled]]:
    """Return a source whose chunks come from another one through filters. Raises TypeError if there is no filter."""
    through = link(*filters)

    @call
    def filtered() -> Generator[Any, None, Pulled]:
        while (given := through.give()) == b"":
            chunk, err = yield from outcome(src())
            if err is not None:
                return None, err
            through.feed(chunk)
        return given, None

    return filtered


def cat(*sources: Source) -> Callable[[], Operation[Pulled]]:
    """Return a source that returns the chunks of several, one after the other."""
    left = list(sources)

    @call
    def one_after_the_other() -> Generator[Any, None, Pulled]:
        while left:
            chunk, err = yield from outcome(left[0]())
            if chunk is not None or err is not None:
                return chunk, err
            del left[0]
        return None, None

    return one_after_the_other
