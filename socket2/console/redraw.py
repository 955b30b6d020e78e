"""Prints a listing again and again, until Ctrl-C: in place on a terminal, one after the other elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from itertools import count
from time import sleep

from ..debug.inquiry import Late

_CLEAR = "\x1b[H\x1b[2J"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(make: Callable[[], str], every_s: float) -> None:
    """Print `make()` every `every_s` seconds. Return only by an exception, such as KeyboardInterrupt or Unanswered.

    If the process answers too late, that is shown, and the next listing is tried.
    """
    on_terminal = sys.stdout.isatty()
    for number in count():
        try:
            text = make()
        except Late as error:
            if number == 0:
                raise
            text = f"{error}\n"
        if on_terminal:
            sys.stdout.write(_CLEAR * (number == 0) + _in_place(text))
        else:
            sys.stdout.write("\n" * (number > 0 and not text.startswith("{")) + text)
        sys.stdout.flush()
        sleep(every_s)


def _in_place(text: str) -> str:
    """Return a text that replaces the one on the screen, and is no larger than the screen."""
    width, height = shutil.get_terminal_size()
    lines = [line[:width] for line in text.splitlines()]
    if len(lines) >= height:
        lines[height - 2 :] = [f"... and {len(lines) - height + 2} more lines"[:width]]
    return _HOME + "".join(f"{line}{_END_OF_LINE}\r\n" for line in lines) + _END_OF_SCREEN
