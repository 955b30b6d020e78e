"""The command `python -m socket2 top`: asks, waits, asks again, and draws what has changed, until q or Ctrl-C.

Knows the keyboard and the clock. On anything but a terminal it prints one picture after the other.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, repeat
from time import sleep

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..debug.inquiry import Late
from .asking import Asked, ask_with_workers
from .rates import rates
from .screen import picture

try:
    import termios
    import tty
except ModuleNotFoundError:
    _KNOWS_TERMINALS = False
else:
    _KNOWS_TERMINALS = True

_FIRST_S = 0.5
_PRINTED_WIDTH = 150
_HINT = "q ends this"


def top(pid: int, every_s: float, times: int | None = None, console: Console | None = None) -> None:
    """Show what a process does, `times` times or until q or Ctrl-C. Raises Unanswered if it ends or does not answer."""
    if console is None:
        console = Console(highlight=False)
        if not console.is_terminal and console.width <= 80:
            console.width = _PRINTED_WIDTH
    pictures = _pictures(pid, console)
    pauses = repeat(every_s) if times is None else repeat(every_s, times - 1)
    if not console.is_terminal:
        console.print(next(pictures))
        for pause_s in pauses:
            sleep(pause_s)
            console.print()
            console.print(next(pictures))
        return
    with _keys(), Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        live.update(next(pictures), refresh=True)
        for pause_s in pauses:
            if _is_quit(pause_s):
                return
            live.update(next(pictures), refresh=True)


def _pictures(pid: int, console: Console) -> Iterator[Group]:
    before = ask_with_workers(pid)
    sleep(_FIRST_S)
    for _ in count():
        try:
            after = ask_with_workers(pid)
        except Late as error:
            yield Group(Text(str(error), style="red"))
            continue
        rows_max = max(console.height // 2 - 4, 5) if console.is_terminal else 1000
        yield picture(rates(before, after), _heading(after, console.is_terminal), rows_max)
        before = after


def _heading(asked: Asked, on_terminal: bool) -> str:
    facts = asked.facts
    return (
        f"{'process' if asked.supervised is None else 'supervisor'} {facts['pid']}, socket2 {facts['socket2']}, "
        f"Python {facts['python']}, {facts['time']}; debugging is on, which times each turn"
        f"{f' ({_HINT})' if on_terminal else ''}"
    )


def _has_keyboard() -> bool:
    return _KNOWS_TERMINALS and sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def _keys() -> Iterator[None]:
    """Have each key arrive at once, and not shown, if there is a keyboard."""
    if not _has_keyboard():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_quit(seconds: float) -> bool:
    """Wait for a key, at most `seconds`. Return whether it is q. Any other key ends the wait."""
    if not _has_keyboard():
        sleep(seconds)
        return False
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    if not readable:
        return False
    keys = os.read(sys.stdin.fileno(), 64)
    return not keys or b"q" in keys.lower()
