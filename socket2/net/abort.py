"""Abort signals, as far as the `signal` options need them: abort() makes all listeners give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .emitter import Emitter
from .failures import told


class AbortError(Exception):
    """The operation was aborted."""

    def __init__(self, reason: object = None) -> None:
        super().__init__("The operation was aborted")
        self.code = "ABORT_ERR"
        self.cause = reason


class AbortSignal(Emitter):
    """Reports an abort: `aborted`, `reason` and the event 'abort'. Made by AbortController."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.reason: object = None


class AbortController:
    """Owns a `signal`, and can abort it once."""

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: object = None) -> None:
        """Abort everything that was given the signal. A second call does nothing."""
        signal = self.signal
        if signal.aborted:
            return
        signal.aborted = True
        signal.reason = reason if reason is not None else AbortError()
        signal._fire("abort")


def on_abort(signal: Any, call: Callable[[], Any]) -> Callable[[], None]:
    """Call `call` when `signal` is aborted; return a function that undoes this.

    Raises TypeError if `signal` is not an AbortSignal.
    """
    if not isinstance(signal, AbortSignal):
        raise told(TypeError(f"signal must be an AbortSignal, not {signal!r}"), code="ERR_INVALID_ARG_TYPE")
    signal.once("abort", call)
    return lambda: signal.removeListener("abort", call)
