"""What may be called from where, as `docs/os-threads.md` says it. Each cell is tested in test_allowed.py."""

from __future__ import annotations

PLACES = (
    "a thread of the loop",
    "a thread of another loop",
    "an OS thread without a loop",
    "a signal handler",
    "a finalizer",
)

# "yes"; "later": it takes effect when the loop gets to it, and reports nothing; "its own": it means the loop of the
# OS thread that calls it; the name of an error that is raised; "no": it must not be called there.
CALLS = {
    "`event.set()`, `semaphore.release()`": ("yes", "yes", "yes", "yes", "yes"),
    "`thread.cancel()`, `threadset.cancel()`": ("yes", "yes", "yes", "yes", "yes"),
    "`scope.cancel()`, setting its `deadline` or `shield`": ("yes", "yes", "yes", "yes", "yes"),
    "`resume(thread)`": ("yes", "later", "later", "later", "later"),
    "`portal.spawn()`, `portal.close()`": ("yes", "yes", "yes", "yes", "yes"),
    "`portal.call()`": ("RuntimeError", "yes", "yes", "RuntimeError", "RuntimeError"),
    "`queue.put_nowait()`, `get_nowait()`, `close()`": ("yes", "yes", "yes", "no", "no"),
    "`lock.release()`": ("yes", "RuntimeError", "RuntimeError", "no", "no"),
    "`stop()`": ("yes", "its own", "its own", "yes", "yes"),
    "`newthread()`": ("yes", "its own", "its own", "no", "no"),
    "`call_in_thread()`": ("yes", "its own", "RuntimeError", "no", "no"),
    "`sleep()`, `suspend()`": ("yes", "its own", "RuntimeError", "no", "no"),
    "`event.wait()`, `queue.get()`, `lock.acquire()`": ("yes", "yes", "no", "no", "no"),
    "`thread.join()`": ("yes", "RuntimeError", "no", "no", "no"),
}

# If a signal handler or finalizer makes one of these calls in the middle of a change, something breaks.
BREAKING = ("`queue.put_nowait()`, `get_nowait()`, `close()`", "`newthread()`")


def rows() -> list[tuple[str, ...]]:
    """Return the table with its heading."""
    return [("", *PLACES), *((call, *cells) for call, cells in CALLS.items())]
