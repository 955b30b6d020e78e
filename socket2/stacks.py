"""Where code is: the chain of `yield from` and `await` of a coroutine that waits, the calls of an OS thread that runs.

Read from outside, by any OS thread, while what is read goes on: nothing here calls into it or holds on to a frame.
"""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

_OURS = ("pollers", "socket2")
_KINDS = ("gi", "cr", "ag")

# Deeper than this a chain is cut: a recursion without end is best seen by its beginning.
_DEPTH_MAX = 1000

# What stands between an `await` and what it awaits, and has no attribute that leads on.
_BETWEEN = ("anext_awaitable", "async_generator_asend", "async_generator_athrow", "coroutine_wrapper")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code that has been reached and not left yet."""

    file: str
    """As the code object has it."""
    line: int
    """From 1 on."""
    function: str
    """Its qualified name."""
    inside: bool
    """Whether it is socket2's own."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def text_of_places(places: Iterable[Place]) -> str:
    """Return places as a traceback has them, with the lines of the source."""
    lines = []
    for place in places:
        lines.append(f'  File "{place.file}", line {place.line}, in {place.function}\n')
        if source := linecache.getline(place.file, place.line).strip():
            lines.append(f"    {source}\n")
    return "".join(lines)


def places_of(frames: Iterable[FrameType]) -> tuple[Place, ...]:
    return tuple(
        Place(frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname, is_inside(frame))
        for frame in frames
    )


def is_inside(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS


def frames_of_coroutine(coro: Any) -> list[FrameType]:
    """Return the frames of a coroutine that waits, the outermost first."""
    frames = []
    for link in _links(coro):
        frame = _attribute(link, "frame")
        if frame is not None:
            frames.append(frame)
    return frames


def _links(coro: Any) -> Iterator[Any]:
    for _ in range(_DEPTH_MAX):
        if coro is None:
            return
        yield coro
        coro = _next_link(coro)


def _next_link(coro: Any) -> Any:
    if type(coro).__name__ in _BETWEEN:
        return next((inner for inner in gc.get_referents(coro) if _has_frame(inner)), None)
    return coro.gi_yieldfrom if hasattr(type(coro), "gi_yieldfrom") else _attribute(coro, "await")


def _has_frame(coro: Any) -> bool:
    return type(coro).__name__ in _BETWEEN or any(hasattr(type(coro), f"{kind}_frame") for kind in _KINDS)


def _attribute(coro: Any, name: str) -> Any:
    """What a generator has as gi_..., a coroutine as cr_..., an async generator as ag_...; None of anything else."""
    for kind in _KINDS:
        if hasattr(type(coro), f"{kind}_{name}"):
            return getattr(coro, f"{kind}_{name}")
    return None


def handled_in(coro: Any) -> list[BaseException]:
    """Return what a coroutine that waits is handling, in a `finally` or an `except`; and what its variables have."""
    held = (one for link in _links(coro) for one in gc.get_referents(link))
    return [one for one in held if isinstance(one, BaseException)]


def with_contexts(errors: Iterable[BaseException]) -> list[BaseException]:
    """Return them and those that they have come after."""
    found: list[BaseException] = []
    for one in errors:
        error: BaseException | None = one
        while error is not None and not any(known is error for known in found):
            found.append(error)
            error = error.__context__
    return found


def is_running(coro: Any) -> bool:
    return bool(_attribute(coro, "running"))


def frames_of_os_threads() -> dict[int, list[FrameType]]:
    """Return the calls that each OS thread, by its ident, is in now, the outermost first."""
    return {ident: _frames_from(frame) for ident, frame in sys._current_frames().items()}


def _frames_from(frame: FrameType | None) -> list[FrameType]:
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def frames_of_running(coro: Any, os_threads: dict[int, list[FrameType]]) -> tuple[int | None, list[FrameType]]:
    """Return which OS thread runs a coroutine, and its calls from there on, the outermost first."""
    root = _attribute(coro, "frame")
    for ident, frames in os_threads.items():
        for at, frame in enumerate(frames):
            if frame is root:
                return ident, frames[at:]
    return None, [root] if root is not None else []
