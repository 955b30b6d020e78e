"""Ctrl-C for a program that has no console to get it from: a byte on its standard input. Windows has no other way.

Python imports this by its name when it is in the path. A thread that threading does not know of raises the signal, as
Windows does when a key is pressed.
"""

from __future__ import annotations

import _thread
import os
import signal


def _raise_when_asked() -> None:
    if os.read(0, 1):
        signal.raise_signal(signal.SIGINT)


_thread.start_new_thread(_raise_when_asked, ())
