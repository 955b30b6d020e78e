"""Ctrl-C for a program without a console: a byte on its standard input. On Windows there is no other way.

Python imports this module by its name if it is in the path. A thread that threading does not know raises the signal, as
Windows does when the keys are pressed.
"""

from __future__ import annotations

import _thread
import os
import signal


def _raise_when_asked() -> None:
    if os.read(0, 1):
        signal.raise_signal(signal.SIGINT)


_thread.start_new_thread(_raise_when_asked, ())
