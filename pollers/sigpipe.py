"""Writing without SIGPIPE to what has no flag for that. Python ignores the signal, until a program wants it back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def without_sigpipe(write: Callable[..., T], *args: Any) -> T:
    """Call `write(*args)`. If nobody reads any more, this raises BrokenPipeError, and there is no signal."""
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:
        return write(*args)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        return write(*args)
    except BrokenPipeError:
        if signal.SIGPIPE not in masked and signal.SIGPIPE in signal.sigpending():
            signal.sigwait({signal.SIGPIPE})
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
