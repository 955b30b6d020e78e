"""Loading certificates and configuration again while a server runs, when a signal asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from pollers import operation

from ..threads.catching import checked, is_default, name_of
from ..threads.coroutines import awaiting, is_coroutine
from ..threads.journal import Journal
from ..threads.loop import newthread
from ..threads.thread import Thread, all_ended

log = Journal("socket2.server")


def signals_to_reload(
    chosen: Iterable[int] | None, tls: Any, reload: Callable[[], Any] | None, stops: Sequence[int]
) -> tuple[int, ...]:
    """Return the signals at which to reload: the `chosen` ones, by default SIGHUP if there is something to load.

    A certificate alone is loaded at SIGHUP only if the program leaves that signal alone, and the server catches
    `stops`, the signals that stop it. Raises TypeError if signals were chosen and there is nothing to load, or if
    `reload` is no function; ValueError if a chosen signal is one of `stops`.
    """
    if reload is not None and not callable(reload):
        raise TypeError(f"reload must be a function, not {reload!r}")
    if chosen is not None:
        numbers = checked(chosen)
        if numbers and reload is None and not hasattr(tls, "reload"):
            raise TypeError(f"only a server_context() can load its certificate again, not {tls!r}")
        for number in numbers:
            if number in stops:
                raise ValueError(f"{name_of(number)} cannot reload, because it stops the server")
        return numbers
    hangup: int | None = getattr(signal, "SIGHUP", None)
    if hangup is None or (reload is None and not hasattr(tls, "reload")):
        return ()
    return (hangup,) if reload is not None or (stops and is_default(hangup)) else ()


class Reloader:
    """Loads the certificate of `tls` again, if it can, and then calls `reload`, in a thread of its own.

    A signal that comes meanwhile makes it do both once more.
    """

    def __init__(self, tls: Any, reload: Callable[[], Any] | None, about: Callable[[], dict[str, object]]) -> None:
        self._tls = tls if hasattr(tls, "reload") else None
        self._reload = reload
        self._about = about
        self._asked = 0  # the signal that has come last, 0 if none has come since the last time
        self._thread: Thread[None] | None = None

    def ask(self, signum: int) -> None:
        """Start to reload, or do it once more if it is in progress. Called in the loop."""
        self._asked = signum
        if self._thread is None or self._thread.done:
            self._thread = newthread(self._work, name="reload")

    @operation
    def end(self) -> Generator[Any, None, None]:
        """Cancel what is in progress, and wait for its end."""
        if self._thread is not None:
            self._thread.cancel()
            yield from all_ended([self._thread])

    def _work(self) -> Generator[Any, None, None]:
        while self._asked:
            name, self._asked = name_of(self._asked), 0
            if self._tls is not None:
                load_certificate(self._tls, name, self._about())
            if self._reload is not None:
                yield from self._call(self._reload, name)

    def _call(self, reload: Callable[[], Any], name: str) -> Generator[Any, None, None]:
        try:
            made = reload()
            if is_coroutine(made):
                yield from awaiting(made)
        except Exception as error:
            log.error("%s: reload failed", name, error=error, about=self._about())
        else:
            log.info("%s: reloaded", name, about=self._about())


def load_certificate(tls: Any, name: str, about: dict[str, object]) -> bool:
    """Load the certificate of a server_context() again. If that fails, log it; the old one stays in use."""
    try:
        tls.reload()
    except (OSError, ValueError) as error:
        log.error("%s: cannot load the certificate again: %s", name, error, about=about)
        return False
    log.info("%s: loaded the certificate again", name, about=about)
    return True


def reload_plainly(tls: Any, reload: Callable[[], Any] | None, signum: int, about: dict[str, object]) -> bool:
    """Do what a Reloader does, where no loop runs. Return whether anything was loaded."""
    name = name_of(signum)
    loaded = hasattr(tls, "reload") and load_certificate(tls, name, about)
    if reload is not None:
        try:
            reload()
        except Exception as error:
            log.error("%s: reload failed", name, error=error, about=about)
        else:
            loaded = True
            log.info("%s: reloaded", name, about=about)
    return loaded
