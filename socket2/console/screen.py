"""How `python -m socket2 top` looks: tables of processes, servers, kinds of threads and queues. Needs rich.

Knows rates, and nothing about how they are asked for. Names come from other processes: they are no markup, and have no
control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..debug.listing import printable, text_of_time
from .rates import Rates
from .table import text_of_bytes


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


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="reverse", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _processes(rates: Rates) -> Table:
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
            _rate(process.requests_s),
            _rate(process.events_s),
        )
        for process in rates.processes
    ]
    return _table(headings, rows, ("PROCESS", "STATE"))


def _servers(rates: Rates) -> Table:
    headings = ("SERVER", "LISTENS ON", "CONNECTIONS", "ACCEPTED/s", "REQUESTS/s")
    rows = [
        (
            server.server,
            ", ".join(server.addresses),
            str(server.connections),
            _rate(server.accepted_s),
            _rate(server.requests_s),
        )
        for server in rates.servers
    ]
    return _table(headings, rows, ("SERVER", "LISTENS ON"))


def _kinds(rates: Rates, rows_max: int) -> Table:
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
            _rate(kind.started_s),
            _rate(kind.ended_s),
            _rate(kind.requests_s),
            _rate(kind.turns_s),
            _percent(kind.busy),
            _time(kind.slowest_s),
            kind.slowest_at or "-",
        )
        for kind in rates.kinds[:rows_max]
    ]
    return _table(headings, rows, ("THREADS OF", "WHICH ENDED AT"))


def _queues(rates: Rates, rows_max: int) -> Table:
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
    return _table(headings, rows, ("QUEUE MADE AT", "KIND"))


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
