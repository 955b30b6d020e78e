"""Loggers that never fail. If a handler of the program raises, its error and the message go to stderr instead.

A logger is looked up for each message. So it does not exist, and cannot be disabled, when a program configures logging
after it has imported socket2: logging.config disables existing loggers.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress


class Journal:
    """The logger `name`. `error` is logged with its traceback. `about` becomes attributes of the record."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def wants(self, level: int) -> bool:
        """Whether anybody wants messages of this level. Ask before a message that is costly to make."""
        return logging.getLogger(self._name).isEnabledFor(level)

    def info(self, text: str, *args: object, about: Mapping[str, object]) -> None:
        self._log(logging.INFO, text, args, None, about)

    def warning(self, text: str, *args: object, about: Mapping[str, object]) -> None:
        self._log(logging.WARNING, text, args, None, about)

    def error(self, text: str, *args: object, error: BaseException | None = None, about: Mapping[str, object]) -> None:
        self._log(logging.ERROR, text, args, error, about)

    def _log(
        self, level: int, text: str, args: tuple[object, ...], error: BaseException | None, about: Mapping[str, object]
    ) -> None:
        try:
            logging.getLogger(self._name).log(level, text, *args, exc_info=error, extra=about, stacklevel=3)
        except Exception:
            print_error()
            with suppress(Exception):
                print_error(error, text % args)
        finally:
            del error  # the traceback of an exception from here has this frame: avoid a cycle


def print_error(error: BaseException | None = None, text: str = "") -> None:
    """Print `text` and an error, by default the one being handled, to stderr. Never fails."""
    with suppress(Exception):  # nothing is left to try if stderr is broken, too
        if sys.stderr is not None:  # print() would take None for stdout
            if text:
                print(text, file=sys.stderr)
            if error is not None or not text:
                traceback.print_exception(error if error is not None else sys.exception())
