"""How `python -m socket2 top` looks: tables of processes, servers, kinds of threads and queues. Needs rich.

Knows rates, and nothing about how they are asked for. Names come from other processes: they are no markup, and have no
control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ..debug.listing import printable, text_of_time
from .rates import Rates
from .table import text_of_bytes

_GAP = 2  # between two columns
_NAME_MIN = 12
_NAME_LEAST = 6
_PLACE_MIN = 16


def picture(rates: Rates, heading: str, rows_max: int = 1000) -> Group:
    """Return what is on the screen. No table has more than `rows_max` rows; the first ones are the busiest."""
    parts: list[RenderableType] = [Text(printable(heading), style="bold"), _processes(rates)]
    if rates.servers:
        parts.append(_servers(rates))
    if rates.kinds:
        parts.append(_kinds(rates, rows_max))
    if rates.queues:
        parts.append(_queues(rates, rows_max))
    parts[2:] = [each for part in parts[2:] for each in (Text(), part)]
    troubles = [process.trouble for process in rates.processes if process.trouble is not None]
    parts += [Text()] * bool(troubles) + [Text(printable(trouble), style="red") for trouble in troubles]
    return Group(*parts)


class _Table:
    """A table whose numbers are whole. On a narrow screen, places are cut at the left, then names."""

    def __init__(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], names: Sequence[str], place: str | None = None
    ) -> None:
        self._headings = headings
        self._rows = [[printable(cell) for cell in row] for row in rows]
        self._names = names
        self._place = place

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        gap, widths = self._layout(options.max_width)
        table = Table(box=None, pad_edge=False, header_style="reverse", padding=(0, gap, 0, 0))
        shown = [at for at, width in enumerate(widths) if width]
        for at in shown:
            heading = self._headings[at]
            left = heading in self._names or heading == self._place
            text = _cut(heading, widths[at], False)
            table.add_column(text, justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
        for row in self._rows:
            table.add_row(*(Text(_cut(row[at], widths[at], self._headings[at] == self._place)) for at in shown))
        yield table

    def _layout(self, width: int) -> tuple[int, list[int]]:
        """Return the gap between columns and how wide each may be, in a table of this width. 0: it is left out."""
        widths = [max(map(cell_len, column)) for column in zip(self._headings, *self._rows, strict=True)]
        places = [] if self._place is None else [self._headings.index(self._place)]
        names = sorted((self._headings.index(name) for name in self._names), key=lambda at: -widths[at])
        gap = _GAP
        for columns, least in ((places, _PLACE_MIN), (names, _NAME_MIN), (places, 0), (names, _NAME_LEAST)):
            if columns is places and not least and _excess(widths, gap, width) > 0:
                gap = 1
            for at in columns:
                if (excess := _excess(widths, gap, width)) > 0:
                    widths[at] = min(widths[at], max(widths[at] - excess, least)) if least else 0
        return gap, widths


def _excess(widths: Sequence[int], gap: int, width: int) -> int:
    shown = [each for each in widths if each]
    return sum(shown) + gap * (len(shown) - 1) - width


def _cut(text: str, width: int, at_left: bool) -> str:
    """Return a text that fits: the end of a path tells more than its beginning."""
    if cell_len(text) <= width:
        return text
    at = len(text)
    room = width - 1
    for letter in reversed(text) if at_left else text:
        room -= cell_len(letter)
        if room < 0:
            break
        at -= 1
    return "…" + text[at:] if at_left else text[: len(text) - at] + "…"


def _processes(rates: Rates) -> _Table:
    headings = (
        "PROCESS",
        "PID",
        "STATE",
        "CPU",
        "MEMORY",
        "THREADS",
        "READY",
        "CONNECTIONS",
        "REQUESTS/s",
        "EVENTS/s",
    )
    rows = [
        (
            process.name,
            _number(process.pid),
            process.state if process.trouble is None else f"{process.state}, no answer",
            _percent(process.cpu),
            text_of_bytes(process.memory_bytes),
            _number(process.threads),
            _number(process.ready),
            _number(process.connections),
            _rate(process.requests_per_s),
            _rate(process.events_per_s),
        )
        for process in rates.processes
    ]
    return _Table(headings, rows, ("PROCESS", "STATE"))


def _servers(rates: Rates) -> _Table:
    headings = ("SERVER", "LISTENS ON", "CONNECTIONS", "ACCEPTED/s", "REQUESTS/s")
    rows = [
        (
            server.server,
            ", ".join(server.addresses),
            str(server.connections),
            _rate(server.accepted_per_s),
            _rate(server.requests_per_s),
        )
        for server in rates.servers
    ]
    return _Table(headings, rows, ("SERVER", "LISTENS ON"))


def _kinds(rates: Rates, rows_max: int) -> _Table:
    headings = (
        "THREADS OF",
        "ALIVE",
        "STARTED/s",
        "ENDED/s",
        "REQUESTS/s",
        "TURNS/s",
        "BUSY",
        "SLOWEST TURN",
        "WHICH ENDED AT",
    )
    rows = [
        (
            kind.kind,
            str(kind.alive),
            _rate(kind.started_per_s),
            _rate(kind.ended_per_s),
            _rate(kind.requests_per_s),
            _rate(kind.turns_per_s),
            _percent(kind.busy),
            _time(kind.slowest_s),
            kind.slowest_at or "-",
        )
        for kind in rates.kinds[:rows_max]
    ]
    return _Table(headings, rows, ("THREADS OF",), "WHICH ENDED AT")


def _queues(rates: Rates, rows_max: int) -> _Table:
    headings = ("QUEUE MADE AT", "KIND", "QUEUES", "ITEMS", "LONGEST", "SIZE", "GETTING", "PUTTING")
    rows = [
        (
            queue.made_at,
            queue.kind,
            str(queue.queues),
            str(queue.items),
            str(queue.longest),
            _number(queue.size),
            str(queue.getting),
            str(queue.putting),
        )
        for queue in rates.queues[:rows_max]
    ]
    return _Table(headings, rows, ("KIND",), "QUEUE MADE AT")


def _time(seconds: float) -> str:
    if not seconds:
        return "-"
    return text_of_time(seconds) if seconds >= 0.01 else f"{seconds * 1000:.2g} ms"


def _number(n: int | None) -> str:
    return "-" if n is None else str(n)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _rate(per_s: float | None) -> str:
    """Return '0', '0.5', '12.3' or '1234'; '-' for None."""
    if per_s is None:
        return "-"
    return "0" if not per_s else f"{per_s:.1f}" if per_s < 100 else f"{per_s:.0f}"
