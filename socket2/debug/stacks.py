"""Where code is: the `yield from` and `await` chain of a waiting coroutine, the calls of a running OS thread.

Any OS thread may read this from outside while the code runs on. Nothing here calls into that code or keeps its frames.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..threads.chain import attribute, links_of

_OURS = ("pollers", "socket2")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code that was reached and not left yet."""

    file: str
    """The file name from the code object."""
    line: int
    """The line number, from 1 on."""
    function: str
    """The qualified name of the function."""
    inside: bool
    """Whether the code belongs to socket2."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def text_of_places(places: Iterable[Place]) -> str:
    """Return places as in a traceback, with the source lines."""
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


def place_in_program(places: Sequence[Place]) -> Place | None:
    """Return the innermost place in the program's own code, or else the innermost one."""
    return next((place for place in reversed(places) if not place.inside), next(reversed(places), None))


def is_inside(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS


def frames_of_coroutine(coro: Any) -> list[FrameType]:
    """Return the frames of a waiting coroutine, the outermost first."""
    frames = []
    for link in links_of(coro):
        frame = attribute(link, "frame")
        if frame is not None:
            frames.append(frame)
    return frames


def is_running(coro: Any) -> bool:
    return bool(attribute(coro, "running"))


def frames_of_os_threads() -> dict[int, list[FrameType]]:
    """Return the current calls of each OS thread, by ident, the outermost first."""
    return {ident: _frames_from(frame) for ident, frame in sys._current_frames().items()}


def _frames_from(frame: FrameType | None) -> list[FrameType]:
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def frames_of_running(coro: Any, os_threads: dict[int, list[FrameType]]) -> tuple[int | None, list[FrameType]]:
    """Return the OS thread that runs a coroutine, and its calls from the coroutine on, the outermost first."""
    root = attribute(coro, "frame")
    for ident, frames in os_threads.items():
        for at, frame in enumerate(frames):
            if frame is root:
                return ident, frames[at:]
    return None, [root] if root is not None else []
