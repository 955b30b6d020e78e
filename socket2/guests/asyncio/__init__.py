"""asyncio's event loop on our pollers: `asyncio.run(main(), loop_factory=new_event_loop)`.

This room knows asyncio, and is the only one that does so for a program that begins with asyncio. It must not know how
a poller waits. Read `selector` first, then `writing`, `transport` and `loop`.
"""

from __future__ import annotations

from typing import Any

from .loop import EventLoop

__all__ = ["EventLoop", "EventLoopPolicy", "new_event_loop"]


def new_event_loop() -> EventLoop:
    """Return a new event loop for asyncio, for `asyncio.run(main(), loop_factory=new_event_loop)`.

    On Python 3.11, where asyncio.run() has no `loop_factory`: `asyncio.Runner(loop_factory=new_event_loop)`.
    Raises NotImplementedError on a system without epoll and kqueue, OSError if the kernel has no descriptor left.
    """
    return EventLoop()


def __getattr__(name: str) -> Any:
    """Make EventLoopPolicy when it is first asked for: from Python 3.14 on asyncio warns of every policy."""
    if name != "EventLoopPolicy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import asyncio

    base: Any = asyncio.DefaultEventLoopPolicy

    class EventLoopPolicy(base):  # type: ignore[misc]
        """For `asyncio.set_event_loop_policy(EventLoopPolicy())`, in programs that take no loop factory."""

        _loop_factory = EventLoop

    globals()[name] = EventLoopPolicy
    return EventLoopPolicy
