"""Abort signals, as far as `signal` options need them: somebody calls abort(), and those who listen give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .emitter import Emitter
from .failures import told


class AbortError(Exception):
    """What was going on was aborted."""

    def __init__(self, reason: object = None) -> None:
        super().__init__("The operation was aborted")
        self.code = "ABORT_ERR"
        self.cause = reason


class AbortSignal(Emitter):
    """Tells of an abort: `aborted`, `reason`, and an event 'abort'. Made by AbortController."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.reason: object = None


class AbortController:
    """Has a `signal` to hand out, and aborts it, once."""

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: object = None) -> None:
        """Abort whatever was given the signal. The second time nothing happens."""
        signal = self.signal
        if signal.aborted:
            return
        signal.aborted = True
        signal.reason = reason if reason is not None else AbortError()
        signal._fire("abort")


def on_abort(signal: Any, call: Callable[[], Any]) -> Callable[[], None]:
    """Make the call when `signal` is aborted; return what takes that back. TypeError when it is no AbortSignal."""
    if not isinstance(signal, AbortSignal):
        raise told(TypeError(f"a signal is an AbortSignal, not {signal!r}"), code="ERR_INVALID_ARG_TYPE")
    signal.once("abort", call)
    return lambda: signal.removeListener("abort", call)
