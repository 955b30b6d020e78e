r"""A job queue that speaks a part of beanstalkd's protocol: put, reserve, delete, release, bury, kick, touch, stats.

Shows a PriorityQueue between connections, and work that is never lost: a job that a worker has reserved goes back when
its time to run is over or when the worker's connection ends, whatever the reason. A worker that waits for a job is
noticed when it leaves, and a graceful stop does not wait for it. Jobs are kept in memory.

    $ python examples/job_queue.py --port 11300
    listening on 127.0.0.1:11300
    $ printf 'put 10 0 60 5\r\nhello\r\nreserve\r\nquit\r\n' | nc 127.0.0.1 11300
    INSERTED 1
    RESERVED 1 5
    hello
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Literal, TypeAlias

import socket2

LINE_MAX = 224  # bytes, as in beanstalkd
NUMBER_MAX = 2**32 - 1
SEND_S = 30.0  # a client that takes nothing for so long is gone
BODY_S = 30.0  # for the body of a job
AHEAD = 4096  # bytes that a client may send while it waits for a job
OVERHEAD = 1000  # bytes of memory for each job, about

State: TypeAlias = Literal["ready", "delayed", "reserved", "buried", "deleted"]
Ticket: TypeAlias = tuple[int, int, int]


class Broken(Exception):
    """Nobody knows where the next command begins, so the connection ends after this answer."""


class Job:
    """A job. Only a ticket of its latest turn in the queue counts."""

    def __init__(self, id: int, priority: int, ttr_s: int, body: bytes) -> None:
        self.id = id
        self.priority = priority
        self.ttr_s = ttr_s  # the time to run
        self.body = body
        self.state: State = "ready"
        self.turn = 0
        self.alarm: socket2.Thread[None] | None = None  # ends the delay or the time to run
        self.worker: Worker | None = None

    def change(self, state: State) -> None:
        """Enter another state. What the former one had to do later is cancelled."""
        self.state = state
        self.turn += 1
        alarm, self.alarm = self.alarm, None
        if alarm is not None and alarm is not socket2.currentthread():
            alarm.cancel()
        if self.worker is not None:
            self.worker.reserved.discard(self)
            self.worker = None


class Jobs:
    """All jobs, by number, and the queue of those that are ready."""

    def __init__(self, memory_max: int) -> None:
        self.all: dict[int, Job] = {}
        self.counts: Counter[str] = Counter()
        self._ready: socket2.PriorityQueue[Ticket] = socket2.PriorityQueue()  # the smallest comes first
        self._numbers = count(1)
        self._memory = 0
        self._memory_max = memory_max

    def put(self, priority: int, delay_s: int, ttr_s: int, body: bytes) -> Job | None:
        """Add a job. Return None if there is no memory for it."""
        if self._memory + len(body) + OVERHEAD > self._memory_max:
            return None
        job = Job(next(self._numbers), priority, max(ttr_s, 1), body)
        self.all[job.id] = job
        self._memory += len(body) + OVERHEAD
        self.release(job, priority, delay_s)
        return job

    def release(self, job: Job, priority: int, delay_s: int = 0) -> None:
        """Make a job ready, now or after a delay."""
        job.priority = priority
        if delay_s:
            job.change("delayed")
            job.alarm = socket2.runafter(delay_s, self.release, job, priority)
        else:
            job.change("ready")
            self._ready.put_nowait((priority, job.id, job.turn))

    async def reserve(self, worker: Worker) -> Job:
        """Wait for a ready job and reserve it. A cancellation takes none, or leaves it with the worker."""
        while not self._is_valid(ticket := await self._ready.get()):
            pass
        job = self.all[ticket[1]]
        job.change("reserved")
        job.worker = worker
        worker.reserved.add(job)
        self.touch(job)
        return job

    def touch(self, job: Job) -> None:
        """Start the time to run again."""
        if job.alarm is not None:
            job.alarm.cancel()
        job.alarm = socket2.runafter(job.ttr_s, self._expire, job)

    def _expire(self, job: Job) -> None:
        self.counts["timeouts"] += 1
        self.release(job, job.priority)

    def bury(self, job: Job, priority: int) -> None:
        job.priority = priority
        job.change("buried")

    def kick(self, bound: int) -> int:
        """Make up to `bound` buried jobs ready, or delayed ones if no job is buried. Return how many."""
        buried = [job for job in self.all.values() if job.state == "buried"]
        delayed = [job for job in self.all.values() if job.state == "delayed"]
        kicked = (buried or delayed)[:bound]
        for job in kicked:
            self.release(job, job.priority)
        return len(kicked)

    def delete(self, job: Job) -> None:
        job.change("deleted")
        del self.all[job.id]
        self._memory -= len(job.body) + OVERHEAD
        if len(self._ready) > 2 * len(self.all) + 1000:  # most tickets are of jobs that are gone
            tickets = [self._ready.get_nowait() for _ in range(len(self._ready))]
            for ticket in filter(self._is_valid, tickets):
                self._ready.put_nowait(ticket)

    def _is_valid(self, ticket: Ticket) -> bool:
        _, number, turn = ticket
        return number in self.all and self.all[number].turn == turn

    def stats(self) -> bytes:
        """Describe the queue in YAML."""
        states = Counter(job.state for job in self.all.values())
        facts = {f"current-jobs-{state}": states[state] for state in ("ready", "reserved", "delayed", "buried")}
        facts |= {f"cmd-{name}": self.counts[name] for name in ("put", "reserve", "delete", "release", "bury")}
        facts |= {"job-timeouts": self.counts["timeouts"], "total-jobs": self.counts["put"]}
        return "".join(["---\n", *(f"{name}: {value}\n" for name, value in facts.items())]).encode()


class Worker:
    """A connection, and the jobs that it has reserved."""

    def __init__(self, conn: socket2.TCP, jobs: Jobs, body_max: int) -> None:
        conn.settimeout(SEND_S, "write")
        self.stream = socket2.stream(conn)
        self.jobs = jobs
        self.reserved: set[Job] = set()
        self._body_max = body_max

    async def serve(self) -> None:
        try:
            while True:
                with socket2.between_requests():
                    line = await self.stream.recvline(LINE_MAX)
                if line is None or line == b"quit":
                    return
                await self.stream.sendall(await self._answer(line.split(b" ")) + b"\r\n")
        except (Broken, socket2.LimitExceeded) as error:
            await self.stream.sendall(b"EXPECTED_CRLF\r\n" if isinstance(error, Broken) else b"BAD_FORMAT\r\n")
            await self.stream.finish()
        finally:
            for job in list(self.reserved):
                self.jobs.release(job, job.priority)

    async def _answer(self, words: list[bytes]) -> bytes:
        name, *rest = words
        if not all(re.fullmatch(rb"\d{1,10}", word) and int(word) <= NUMBER_MAX for word in rest):
            return b"BAD_FORMAT"
        command = name.decode(errors="replace")
        self.jobs.counts[command] += command in ("put", "delete", "release", "bury", "reserve")
        match command, list(map(int, rest)):
            case "put", [priority, delay_s, ttr_s, size]:
                return await self._put(priority, delay_s, ttr_s, size)
            case "reserve", []:
                return await self._reserve(None)
            case "reserve-with-timeout", [seconds]:
                self.jobs.counts["reserve"] += 1
                return await self._reserve(seconds)
            case "delete", [number] if (job := self.jobs.all.get(number)) and job.worker in (None, self):
                self.jobs.delete(job)
                return b"DELETED"
            case "release", [number, priority, delay_s] if job := self._own(number):
                self.jobs.release(job, priority, delay_s)
                return b"RELEASED"
            case "bury", [number, priority] if job := self._own(number):
                self.jobs.bury(job, priority)
                return b"BURIED"
            case "touch", [number] if job := self._own(number):
                self.jobs.touch(job)
                return b"TOUCHED"
            case (("delete" | "touch"), [_]) | ("bury", [_, _]) | ("release", [_, _, _]):
                return b"NOT_FOUND"
            case "kick", [bound]:
                return b"KICKED %d" % self.jobs.kick(bound)
            case "stats", []:
                stats = self.jobs.stats()
                return b"OK %d\r\n%s" % (len(stats), stats)
            case (
                (
                    "put"
                    | "delete"
                    | "release"
                    | "bury"
                    | "touch"
                    | "kick"
                    | "reserve"
                    | "reserve-with-timeout"
                    | "stats"
                ),
                _,
            ):
                return b"BAD_FORMAT"
        return b"UNKNOWN_COMMAND"

    def _own(self, number: int) -> Job | None:
        job = self.jobs.all.get(number)
        return job if job is not None and job.worker is self else None

    async def _put(self, priority: int, delay_s: int, ttr_s: int, size: int) -> bytes:
        with socket2.timeout(BODY_S):
            if size > self._body_max:
                left = size
                while left > 0:  # the next command comes after it
                    left -= len(await self.stream.recvn(min(left, 65536)))
            else:
                body = await self.stream.recvn(size)
            if await self.stream.recvn(2) != b"\r\n":
                raise Broken
        if size > self._body_max:
            return b"JOB_TOO_BIG"
        job = self.jobs.put(priority, delay_s, ttr_s, body)
        return b"OUT_OF_MEMORY" if job is None else b"INSERTED %d" % job.id

    async def _reserve(self, limit_s: int | None) -> bytes:
        """Wait for a job, as long as the client is there."""
        with suppress(TimeoutError), socket2.between_requests(), socket2.timeout(limit_s):
            job = await socket2.first(partial(self.jobs.reserve, self), self._gone)
            if job is None:
                raise ConnectionAbortedError("the client left while it waited for a job")
            return b"RESERVED %d %d\r\n%s" % (job.id, len(job.body), job.body)
        return b"TIMED_OUT"

    async def _gone(self) -> None:
        """Return when the client has ended its stream. Commands that it has sent already stay in the stream."""
        if len(await self.stream.peek(AHEAD)) == AHEAD:
            await socket2.Event().wait()  # it has sent so many commands that its end cannot be seen


class Options(argparse.Namespace):
    host: str
    port: int
    clients: int
    job: int
    memory: int
    grace: float


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Give jobs to workers, as beanstalkd does.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=11300, type=int, help="0: a free port")
    parser.add_argument("--clients", default=10_000, type=int, help="connections at a time (default: %(default)s)")
    parser.add_argument("--job", default=65535, type=int, metavar="BYTES", help="limit (default: %(default)s)")
    parser.add_argument("--memory", default=256, type=int, metavar="MB", help="for all jobs (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for connections at the end")
    args = parser.parse_args(namespace=Options())
    jobs = Jobs(args.memory * 1024 * 1024)
    try:
        socket2.run(
            socket2.serve(
                lambda conn: Worker(conn, jobs, args.job).serve(),
                args.host,
                args.port,
                max_connections=args.clients,
                grace_s=args.grace,
                ready=announce,
            )
        )
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
