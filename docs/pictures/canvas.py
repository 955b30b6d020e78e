"""Boxes, arrows and text as SVG.

A colour is a class, and the style sheet of the site gives it a value for light and for dark pages. So a picture has to
stand in the page itself, and not in an `<img>`.
"""

from __future__ import annotations

from html import escape

_LINE_PX = 17
_CHARACTER_PX = 7.4


class Canvas:
    """A picture that grows with what is drawn on it. Lengths are in pixels, from the top left corner."""

    def __init__(self, title: str, width: float, height: float) -> None:
        """`title` says in a sentence what the picture shows, for those who cannot see it."""
        self.title, self.width, self.height = title, width, height
        self._parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, text: str = "", kind: str = "plain") -> None:
        """Draw a box with centred lines of text. `kind` is one of the classes in site.css."""
        self._parts.append(
            f'<rect class="box {kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
        )
        lines = text.split("\n")
        top = y + height / 2 - (len(lines) - 1) * _LINE_PX / 2
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + number * _LINE_PX, line, anchor="middle", kind="head" if not number else "")

    def text(self, x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> None:
        """Write one line. `y` is its middle."""
        self._parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y + 4.5:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def arrow(self, *points: tuple[float, float], text: str = "", kind: str = "", side: str = "above") -> None:
        """Draw an arrow through the points, and write beside the middle of its first piece."""
        path = " ".join(f"{'L' if number else 'M'}{x:g} {y:g}" for number, (x, y) in enumerate(points))
        self._parts.append(f'<path class="arrow {kind}" d="{path}" marker-end="url(#tip)"/>')
        (x1, y1), (x2, y2) = points[:2]
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        for number, line in enumerate(text.split("\n") if text else []):
            if side == "above":
                self.text(x, y - 10 - (text.count("\n") - number) * _LINE_PX, line, "middle", "note")
            elif side == "below":
                self.text(x, y + 13 + number * _LINE_PX, line, "middle", "note")
            elif side == "right":
                self.text(x + 9, y + (number - text.count("\n") / 2) * _LINE_PX, line, "start", "note")
            else:
                self.text(x - 9, y + (number - text.count("\n") / 2) * _LINE_PX, line, "end", "note")

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
        self._parts.append(f'<path class="line {kind}" d="M{x1:g} {y1:g} L{x2:g} {y2:g}"/>')

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._parts.append(
            f'<rect class="bar {kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2"/>'
        )

    def svg(self) -> str:
        head = (
            f'<svg class="picture" role="img" viewBox="0 0 {self.width:g} {self.height:g}"'
            f' style="max-width: {self.width:g}px" xmlns="http://www.w3.org/2000/svg">'
        )
        tip = (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto-start-reverse"><path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        )
        return "\n".join([head, f"<title>{escape(self.title)}</title>", tip, *self._parts, "</svg>"])


def text_width(text: str) -> float:
    """Return about how wide a line is, in pixels."""
    return len(text) * _CHARACTER_PX
