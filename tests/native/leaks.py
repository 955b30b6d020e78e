"""A million operations of every kind, also of TLS, and many threads: they must leave nothing behind.

`python -m tests.native.leaks [ROUNDS]` compares memory blocks, objects of the garbage collector, references to
None, descriptors and resident memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pollers
import socket2
from pollers import Cancelled
from socket2.threads import thread
from socket2.threads.deadline import Patience
from socket2.threads.member import current_member
from socket2.threads.native import in_c
from socket2.threads.scheduler import current_scheduler
from tests.contract.driver import Driver, does
from tests.native.records import round_of_records
from tests.tls.certificates import Authority

OPERATIONS_PER_ROUND = 20
# One of this many rounds is for threads, which cost more.
THREADS_EVERY = 5
RECORDS_EVERY = 10  # they cost even more
RSS_GROWTH_MAX = 1 << 20
PATIENCE = Patience(1000.0)  # one for all: each leaves an entry in the heap of timers


def sweep_timers() -> None:
    """Drop the entries of timers that were disarmed. Until they are the majority, their number goes up and down."""
    timers = current_scheduler().timers
    timers.useless = sys.maxsize  # so that there are enough of them; sweep() counts anew
    timers.sweep()
    assert not timers.heap


def account() -> dict[str, int]:
    sweep_timers()
    gc.collect()
    return {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "references to None": sys.getrefcount(None),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def round_of(driver: Driver) -> Callable[[], None]:
    """Return a function that does about 20 operations: on a stream, a full one, datagrams, and new sockets."""
    one, other = driver.pair("unix")
    full, _ = driver.pair("unix")
    driver.fill(full)
    datagrams = driver.attach(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.sock.bind(("127.0.0.1", 0))
    here = datagrams.sock.getsockname()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(b"\0socket2-leaks-%d" % os.getpid())
    listener.listen()
    accepting = driver.attach(listener)
    buffer = bytearray(100)
    count = 0

    def act() -> None:
        nonlocal count
        waiting = driver.spawn(does(other.recv(100)))
        driver.run(does(one.send(b"x")))
        driver.finish(waiting)
        driver.run(does(one.sendall(buffer)))
        driver.run(does(other.recv_into(buffer)))
        driver.run(does(datagrams.sendto(b"x", here)))
        driver.run(does(datagrams.recvfrom(10)))
        driver.run(does(datagrams.sendto(b"x", here)))
        driver.run(does(datagrams.recvfrom_into(buffer)))
        driver.run(does(other.recv(0)))
        driver.run(does(other.wait_writable()))
        for op in (full.sendall(b"x"), other.recv(1), other.wait_readable(), full.send(b"x")):
            task = driver.spawn(does(op))
            driver.cancel(task, Cancelled("c"))
            driver.turn()
        steps: Any = iter(other.recv(1))
        next(steps).park("waiter")
        with contextlib.suppress(KeyError):
            steps.throw(KeyError("k"))
        dropped: Any = iter(other.recv(1))
        next(dropped).park("waiter")
        del dropped
        other.recv(1).close()
        for operation in (other.recvfrom_into(buffer, 1), one.send("text")):  # type: ignore[arg-type]
            task = driver.spawn(does(operation))
            if not task.done:
                assert isinstance(driver.spawn(does(other.recv(1))).error, OSError)
                driver.cancel(task)
                driver.turn()
        count += 1
        if count % 20 == 0:
            come_and_go(driver, accepting, listener.getsockname())

    return act


def come_and_go(driver: Driver, accepting: Any, address: Any) -> None:
    task = driver.spawn(does(accepting.accept()))
    client = driver.poller.attach(socket.socket(socket.AF_UNIX))
    driver.run(does(client.connect(address)))
    handle = driver.finish(task)[0][0]
    handle.sock.getpeername()
    waiting = driver.spawn(does(handle.recv(1)))
    handle.close()
    driver.turn(1)
    assert waiting.error is not None
    client.detach().close()
    poller = pollers.choose("native", checked=False)
    poller.wakeup()
    poller.poll(0)
    poller.shutdown()


def threads() -> None:
    """Run threads that end in every way: about 20 steps."""

    def waits() -> Any:
        yield from socket2.sleep(0)
        return "done"

    def fails() -> Any:
        yield from socket2.sleep(0)
        raise LookupError

    def wrong() -> Any:
        with contextlib.suppress(TypeError):
            yield "text"
        yield from waits()

    def limited() -> Any:
        with contextlib.suppress(TimeoutError):
            yield from Patience(0).limit(socket2.suspend())
        for _ in range(3):
            yield from PATIENCE.limit(socket2.sleep(0))

    def ends() -> Any:
        started = [socket2.newthread(func) for func in (waits, fails, wrong, limited, waits)]
        started[-1].cancel()
        for one in started:
            with contextlib.suppress(LookupError, Cancelled):
                yield from one.join()

    socket2.run(ends)
    socket2.newthread(fails)
    socket2.start()


def main() -> int:
    assert in_c("_once", "pollers")
    assert in_c("_stepping")
    assert in_c("_shortcut")
    assert in_c("_records")
    thread.crashhook = lambda thread, error: None
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000 // OPERATIONS_PER_ROUND
    driver = Driver(pollers.choose("native", checked=False), "native")
    act = round_of(driver)
    with TemporaryDirectory() as folder:
        records, close_streams = round_of_records(Authority(Path(folder)))
    for _ in range(200):
        act()
        threads()
        records()
    dropped = [driver.handles[0].recv(1) for _ in range(300)]  # as many as are kept for reuse
    del dropped
    before, resident_before = account(), resident()
    for number in range(rounds):
        act()
        if number % THREADS_EVERY == 0:
            threads()
        if number % RECORDS_EVERY == 0:
            records()
    after, resident_after = account(), resident()
    print(f"{rounds * OPERATIONS_PER_ROUND} operations: {before} before, {after} after")
    print(f"resident memory: {resident_before >> 10} KiB before, {resident_after >> 10} KiB after")
    # The interpreter's own caches account for a few.
    grown = [what for what in before if after[what] > before[what] + 20]
    if resident_after > resident_before + RSS_GROWTH_MAX:
        grown.append("resident memory")
    if grown:
        print(f"LEAK: {', '.join(grown)} grew")
    driver.close()
    close_streams()
    current_member().close()
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
