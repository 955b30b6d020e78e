"""Errors that say that an application needs another event loop. They are recognised by their names and texts."""

from __future__ import annotations

NEEDS_ASYNCIO = "the application needs the event loop of asyncio, which does not run in a thread of socket2"

_NAMES = {"NoEventLoopError", "AsyncLibraryNotFoundError"}
_TEXTS = (
    "no running event loop",
    "no current event loop",
    "a future of asyncio",
    "waits for None, which is",
    "has no attribute 'create_future'",
    "No module named 'anyio._backends.",
)


def needs_asyncio(error: BaseException) -> bool:
    """Whether an error, or one that it comes from, says that asyncio or anyio does not run here."""
    return any(type(one).__name__ in _NAMES or any(text in str(one) for text in _TEXTS) for one in with_origins(error))


def with_origins(error: BaseException) -> list[BaseException]:
    """Return an error and those that it comes from."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found
