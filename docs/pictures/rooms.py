"""The rooms of the source, as the tests hold them: each stands on rooms below it."""

from __future__ import annotations

from tests.rooms import floors

from .canvas import Canvas, text_width

_HEIGHT, _GAP, _WIDTH = 32, 10, 660
_OF_POLLERS = ("pollers", "the contract")


def draw() -> str:
    """Return the picture as SVG."""
    levels = [_rows(level) for level in reversed(floors())]
    rows = sum(len(level) for level in levels)
    title = "The rooms of socket2. Each imports only from rooms below it; at the bottom are the pollers."
    canvas = Canvas(title, _WIDTH, rows * (_HEIGHT + _GAP) + (len(levels) - 1) * 8)
    y = 2.0
    for level in levels:
        for row in level:
            widths = [_width(room) for room in row]
            x = (_WIDTH - sum(widths) - _GAP * (len(row) - 1)) / 2
            for room, width in zip(row, widths, strict=True):
                kind = "good" if room.startswith(_OF_POLLERS) else "ours"
                canvas.box(x, y, width, _HEIGHT, room, kind)
                x += width + _GAP
            y += _HEIGHT + _GAP
        y += 8
    return canvas.svg()


def _width(room: str) -> float:
    return text_width(room) + 26


def _rows(level: list[str]) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    for room in level:
        if sum(_width(one) + _GAP for one in [*rows[-1], room]) > _WIDTH:
            rows.append([])
        rows[-1].append(room)
    return rows
