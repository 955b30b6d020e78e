"""Calls that others have left for an OS thread to make, between two steps or two turns of its loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from opcode import opmap
from typing import Any

from .lock import lock


def make_first(calls: deque[Callable[[], Any]]) -> bool:
    """Make the first of `calls`, and take it from there; False: there is none.

    Where a signal handler raises before the call has begun, it is the first again.
    """
    call = None
    try:
        with lock:
            if not calls:
                return False
            call = calls[0]
            del calls[0]  # without a call, so that no handler comes in between
    except BaseException:
        if call is not None:
            calls.appendleft(call)
        raise
    try:
        call()
    except BaseException as error:
        if not _has_begun(error):
            calls.appendleft(call)
        raise
    return True


def _has_begun(error: BaseException) -> bool:
    """Whether the function that make_first() has called, and that `error` came out of, has run any code of its own.

    A signal handler may raise before that: where a function begins, the interpreter looks for signals.
    """
    called = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return called is None or called.tb_frame.f_code.co_code[called.tb_lasti] != opmap["RESUME"]
