"""Random groups of threads, and random use of queues, channels, semaphores, locks, conditions and events.

Rounds run one after the other until enough operations were made. Every error of a group's thread is reported once;
every item is got once; permits never exceed their number; and each waiter is woken exactly once.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import socket2
from socket2 import Cancelled, Thread

from .ledger import Ledger, Steps
from .worker import A_MOMENT_S, Meant, outcome

Held = socket2.Lock | socket2.RLock | socket2.Semaphore | socket2.CapacityLimiter


class Together:
    def __init__(self, ledger: Ledger, seed: int, operations: int) -> None:
        self._ledger = ledger
        self._random = random.Random(f"together {seed}")
        self._operations = operations
        self._lock = threading.Lock()
        self._raised: Counter[BaseException] = Counter()
        self._told: Counter[BaseException] = Counter()

    def run(self) -> Steps:
        rounds = [self._group, self._group, self._queue, self._channel, self._semaphore, self._condition, self._event]
        socket2.thread.crashhook, hook = self._crashed, socket2.thread.crashhook
        try:
            begun = self._ledger.operations
            while self._ledger.operations - begun < self._operations:
                yield from self._random.choice(rounds)(random.Random(self._random.random()))
        finally:
            socket2.thread.crashhook = hook

    def _start(self, name: str, steps: Any) -> Thread[object]:
        return self._ledger.newthread(name, steps)

    def _crashed(self, thread: Thread[object], error: BaseException) -> None:
        if thread.name != "owner":  # it is joined, but not always before this
            with self._lock:
                self._told[error] += 1

    def _hesitate(self, rng: random.Random) -> Steps:
        self._ledger.count(1)
        kind = rng.randrange(5)
        if kind == 0:
            time.sleep(rng.random() * A_MOMENT_S)  # another member takes over
        elif kind == 1:
            yield from socket2.sleep(rng.random() * A_MOMENT_S)
        elif kind < 4:
            yield from socket2.sleep(0)

    def _cancel_some(self, rng: random.Random, threads: list[Thread[object]]) -> Steps:
        for _ in range(rng.randrange(4)):
            yield from self._hesitate(rng)
            rng.choice(threads).cancel()

    def _all(self, threads: list[Thread[object]]) -> Steps:
        """Wait for all of them. They return or are cancelled."""
        for thread in threads:
            how, what = yield from outcome(thread)
            if how == "raised":
                self._ledger.fail(f"{thread.name} raised {what!r}")

    # Groups.

    def _group(self, rng: random.Random) -> Steps:
        threads = [self._start("owner", self._owner(random.Random(rng.random()))) for _ in range(rng.randrange(1, 4))]
        yield from self._cancel_some(rng, threads)
        for thread in threads:
            how, what = yield from outcome(thread)
            if how == "raised":
                self._tell(what)
        with self._lock:
            if self._told != self._raised:
                self._ledger.fail(f"raised {self._raised}, told {self._told}")
            self._told.clear()
            self._raised.clear()

    def _tell(self, error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                self._tell(one)
        else:
            with self._lock:
                self._told[error] += 1

    async def _owner(self, rng: random.Random) -> None:
        count = rng.randrange(1, 8)
        deadline_s = rng.choice([None, None, rng.random() * A_MOMENT_S])
        with suppress(TimeoutError), socket2.timeout(deadline_s):
            async with socket2.threadset() as ts:
                for _ in range(count):
                    ts.newthread(self._member, ts, random.Random(rng.random()), 2)
                    await socket2.sleep(0) if rng.random() < 0.3 else None
                if rng.random() < 0.2:
                    ts.cancel()
                if rng.random() < 0.8:
                    await ts.join()

    def _member(self, ts: socket2.threadset[None], rng: random.Random, depth: int) -> Steps:
        try:
            for _ in range(rng.randrange(3)):
                yield from self._hesitate(rng)
            if depth and rng.random() < 0.3:
                with suppress(RuntimeError):  # the block has ended meanwhile
                    ts.newthread(self._member, ts, random.Random(rng.random()), depth - 1)
            if rng.random() < 0.1:
                yield from socket2.sleep(rng.random() * 10 * A_MOMENT_S)
        finally:
            if rng.random() < 0.15:
                yield from socket2.sleep(0)
            if rng.random() < 0.15:
                error = Meant()
                with self._lock:
                    self._raised[error] += 1
                raise error from None

    # A queue.

    def _queue(self, rng: random.Random) -> Steps:
        make: Any = rng.choice([socket2.Queue, socket2.PriorityQueue])
        queue: socket2.Queue[int] = make(rng.choice([None, 0 if make is socket2.Queue else 1, 1, 3]))
        put, got = Counter[int](), Counter[int]()
        threads = [
            self._start("putter", self._putter(queue, put, number * 1000, random.Random(rng.random())))
            for number in range(rng.randrange(1, 6))
        ]
        getters = [
            self._start("getter", self._getter(queue, got, random.Random(rng.random())))
            for _ in range(rng.randrange(1, 6))
        ]
        yield from self._cancel_some(rng, threads)
        if rng.random() < 0.3:
            queue.close()
        rest = self._start("getter", self._getter(queue, got, None))
        yield from self._all(threads)
        queue.close()
        yield from self._all([*getters, rest])
        if put != got:
            self._ledger.fail(f"put but not got: {put - got}; got but not put: {got - put}")

    def _putter(self, queue: socket2.Queue[int], put: Counter[int], first: int, rng: random.Random) -> Steps:
        with suppress(socket2.Closed):
            for item in range(first, first + rng.randrange(20)):
                timeout_s = rng.choice([None, None, 0, rng.random() * A_MOMENT_S])
                with suppress(TimeoutError):
                    yield from queue.put(item, timeout_s)
                    with self._lock:
                        put[item] += 1
                yield from self._hesitate(rng)

    def _getter(self, queue: socket2.Queue[int], got: Counter[int], rng: random.Random | None) -> Steps:
        with suppress(socket2.Closed):
            while True:
                timeout_s = rng.choice([None, None, 0, rng.random() * A_MOMENT_S]) if rng is not None else None
                with suppress(TimeoutError):
                    item = yield from queue.get(timeout_s)
                    with self._lock:
                        got[item] += 1
                if rng is not None:
                    yield from self._hesitate(rng)

    # A channel.

    def _channel(self, rng: random.Random) -> Steps:
        sender, receiver = socket2.channel[int](rng.choice([None, 0, 1, 3]))
        sent, got = Counter[int](), Counter[int]()
        senders = [
            self._start("sender", self._sender(sender.clone(), sent, number * 1000, random.Random(rng.random())))
            for number in range(rng.randrange(1, 6))
        ]
        receivers = [
            self._start("receiver", self._receiver(receiver.clone(), got, random.Random(rng.random())))
            for _ in range(rng.randrange(1, 6))
        ]
        sender.close()
        yield from self._cancel_some(rng, [*senders, *receivers])
        rest = self._start("receiver", self._receiver(receiver, got, None))
        yield from self._all([*senders, *receivers, rest])
        if sent != got:
            self._ledger.fail(f"sent but not received: {sent - got}; received but not sent: {got - sent}")

    def _sender(self, sender: socket2.Sender[int], sent: Counter[int], first: int, rng: random.Random) -> Steps:
        with sender:
            for item in range(first, first + rng.randrange(20)):
                with suppress(TimeoutError):
                    yield from sender.send(item, rng.choice([None, None, 0, rng.random() * A_MOMENT_S]))
                    with self._lock:
                        sent[item] += 1
                yield from self._hesitate(rng)

    def _receiver(self, receiver: socket2.Receiver[int], got: Counter[int], rng: random.Random | None) -> Steps:
        with receiver, suppress(socket2.EndOfChannel):
            while True:
                timeout_s = rng.choice([None, None, 0, rng.random() * A_MOMENT_S]) if rng is not None else None
                with suppress(TimeoutError):
                    item = yield from receiver.receive(timeout_s)
                    with self._lock:
                        got[item] += 1
                if rng is not None:
                    yield from self._hesitate(rng)

    # A condition: each notification is for one item, so no thread waits while there is one.

    def _condition(self, rng: random.Random) -> Steps:
        condition = socket2.Condition(socket2.Lock() if rng.random() < 0.5 else socket2.RLock())
        items, got = list[int](), list[int]()
        consumers = [
            self._start("consumer", self._consumer(condition, items, got, random.Random(rng.random())))
            for _ in range(rng.randrange(1, 6))
        ]
        count = rng.randrange(20)
        for item in range(count):
            with (yield from condition.acquire()):
                items.append(item)
                condition.notify()
            yield from self._hesitate(rng)
        yield from self._cancel_some(rng, consumers)
        consumers.append(self._start("consumer", self._consumer(condition, items, got, None)))
        while len(got) < count:
            yield from socket2.sleep(A_MOMENT_S)
        for thread in consumers:
            thread.cancel()
        yield from self._all(consumers)
        if sorted(got) != list(range(count)) or condition.locked():
            self._ledger.fail(f"{condition!r}: of {count} items only {got}")

    def _consumer(
        self, condition: socket2.Condition, items: list[int], got: list[int], rng: random.Random | None
    ) -> Steps:
        while True:
            timeout_s = rng.choice([None, None, 0, rng.random() * A_MOMENT_S]) if rng is not None else None
            with suppress(TimeoutError), (yield from condition.acquire()):
                yield from condition.wait_for(lambda: items, timeout_s)
                got.append(items.pop())
            if rng is not None:
                yield from self._hesitate(rng)

    # Permits.

    def _semaphore(self, rng: random.Random) -> Steps:
        permits = rng.randrange(1, 4)
        made: list[Held] = [socket2.Semaphore(permits), socket2.CapacityLimiter(permits)]
        if permits == 1:
            made += [socket2.Lock(), socket2.RLock()]
        semaphore = rng.choice(made)
        inside: list[int] = []
        threads = [
            self._start("holder", self._holder(semaphore, permits, inside, random.Random(rng.random())))
            for _ in range(rng.randrange(2, 10))
        ]
        yield from self._cancel_some(rng, threads)
        yield from self._all(threads)
        if semaphore._free != permits or inside:
            self._ledger.fail(f"{semaphore!r} of {permits}; inside: {len(inside)}")

    def _holder(self, semaphore: Held, permits: int, inside: list[int], rng: random.Random) -> Steps:
        for _ in range(rng.randrange(6)):
            with suppress(TimeoutError), (yield from semaphore.acquire(rng.choice([None, None, 0, A_MOMENT_S]))):
                inside.append(1)
                try:
                    if len(inside) > permits:
                        self._ledger.fail(f"{len(inside)} have one of {permits} permits")
                    yield from self._hesitate(rng)
                finally:
                    inside.pop()

    # An event.

    def _event(self, rng: random.Random) -> Steps:
        events = [socket2.Event() for _ in range(3)]
        over = threading.Event()
        threads = [
            self._start("waiter", self._waiter(events, over, random.Random(rng.random())))
            for _ in range(rng.randrange(1, 10))
        ]
        for _ in range(rng.randrange(10)):
            yield from self._hesitate(rng)
            event = rng.choice(events)
            event.clear() if rng.random() < 0.5 else event.set()
        yield from self._cancel_some(rng, threads)
        over.set()
        for event in events:
            event.set()
        yield from self._all(threads)

    def _waiter(self, events: list[socket2.Event], over: threading.Event, rng: random.Random) -> Steps:
        while not over.is_set():
            with suppress(TimeoutError, Cancelled):
                yield from rng.choice(events).wait(rng.choice([None, 0, A_MOMENT_S]))
            yield from self._hesitate(rng)
