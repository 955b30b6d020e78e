"""Posted calls: an OS thread makes them between two steps or two turns of its loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from opcode import opmap
from typing import Any

from .lock import lock


def make_first(calls: deque[Callable[[], Any]]) -> bool:
    """Take the first of `calls` and make it. Return False if there is none.

    If a signal handler raises before the call has begun, the call becomes the first one again.
    """
    call = None
    try:
        with lock:
            if not calls:
                return False
            call = calls[0]
            del calls[0]  # this is no call, so no signal handler runs in between
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
    """Whether the called function, which raised `error`, had run any code of its own.

    The interpreter checks for signals where a function begins, so a signal handler may raise before that code.
    """
    called = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return called is None or called.tb_frame.f_code.co_code[called.tb_lasti] != opmap["RESUME"]
