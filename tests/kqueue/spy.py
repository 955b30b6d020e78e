"""A module like `select` that passes every call to another one, notes it, and may change the answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call of control()."""

    changes: list[Any]
    room: int
    timeout_s: float | None


class Spy:
    """The module. `refuses(change)` returns the errno for a change; `alters(events)` replaces the fetched events."""

    def __init__(self, impl: Any) -> None:
        self._impl = impl
        self.calls: list[Call] = []
        self.names: set[str] = set()
        self.refuses: Callable[[Any], int] = lambda change: 0
        self.alters: Callable[[list[Any]], list[Any]] = lambda events: events

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self._impl, name)

    def kqueue(self) -> SpiedKqueue:
        return SpiedKqueue(self, self._impl.kqueue())

    @property
    def changes(self) -> list[Any]:
        return [change for call in self.calls for change in call.changes]

    @property
    def waits(self) -> list[Call]:
        return [call for call in self.calls if not call.changes]

    def event(self, ident: int, filter_: int, flags: int = 0) -> Any:
        return self._impl.kevent(ident, filter_, flags)


class SpiedKqueue:
    """A kqueue of this module."""

    def __init__(self, spy: Spy, inner: Any) -> None:
        self._spy = spy
        self.inner = inner

    def control(self, changes: list[Any] | None, room: int, timeout_s: float | None = None) -> list[Any]:
        self._spy.calls.append(Call(list(changes or ()), room, timeout_s))
        for change in changes or ():
            if number := self._spy.refuses(change):
                raise OSError(number, os.strerror(number))
        return self._spy.alters(self.inner.control(changes, room, timeout_s))

    def fileno(self) -> int:
        return self.inner.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        self.inner.close()

    @property
    def closed(self) -> bool:
        return self.inner.closed  # type: ignore[no-any-return]


def altered(event: Any, **fields: Any) -> Any:
    """Return an event like this one, with some other fields."""
    names = ("ident", "filter", "flags", "fflags", "data", "udata")
    return SimpleNamespace(**{name: getattr(event, name) for name in names} | fields)


class Renumbered:
    """The numbers of NetBSD: EVFILT_READ is 0, EVFILT_WRITE is 1."""

    KQ_FILTER_READ, KQ_FILTER_WRITE, KQ_FILTER_TIMER = 0, 1, 6

    def __init__(self, impl: Any) -> None:
        self._impl = impl
        theirs = (impl.KQ_FILTER_READ, impl.KQ_FILTER_WRITE, impl.KQ_FILTER_TIMER)
        self._to_theirs = dict(zip((0, 1, 6), theirs, strict=True))
        self._to_ours = dict(zip(theirs, (0, 1, 6), strict=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._impl, name)

    def kevent(self, ident: Any, filter_: int, *rest: int) -> Any:
        return self._impl.kevent(ident, self._to_theirs[filter_], *rest)

    def kqueue(self) -> SpiedKqueue:
        spy = Spy(self._impl)
        spy.alters = lambda events: [altered(event, filter=self._to_ours[event.filter]) for event in events]
        return SpiedKqueue(spy, self._impl.kqueue())
