"""What has changed between two answers: rates, sums over workers, and processes that come and go."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from socket2.console.asking import Answer, Asked
from socket2.console.rates import QueueLengths, rates

Facts = dict[str, Any]


def kind(alive: int, started: int, turns: int, ran_s: float, slowest_s: float = 0.0) -> Facts:
    facts: Facts = {"alive": alive, "waiting": alive, "started": started, "turns": turns, "ran_s": ran_s}
    return facts | {"slowest_s": slowest_s, "slowest_at": "app.py:1" if slowest_s else None}


def server(requests: int, accepted: int, *, name: str = "handle", connections: int = 3) -> Facts:
    counts: Facts = {"connections": connections, "accepted": accepted, "requests": requests, "cut": 0}
    return {"server": name, "addresses": ["127.0.0.1:80"], "stopping": False} | counts


def process(pid: int, at: float, *, cpu_s: float = 0.0, events: int = 0, **facts: Any) -> Facts:
    loops = [{"threads": 2, "ready": 1, "events": events}]
    given: Facts = {"kinds": {}, "servers": [], "queues": [], "supervisor": None} | facts
    return {"pid": pid, "monotonic_s": at, "cpu_s": cpu_s, "memory_bytes": 10, "loops": loops} | given


def supervised(*answers: Answer, at: float = 0.0) -> Asked:
    workers = [{"number": n, "pid": answer.pid, "state": "serving"} for n, answer in enumerate(answers)]
    return Asked(process(1, at, supervisor={"workers": workers}), {answer.pid: answer for answer in answers})


def test_rates_of_one_process() -> None:
    before = process(1, 10.0, cpu_s=1.0, events=5, kinds={"handle": kind(2, 4, 100, 0.5)}, servers=[server(50, 4)])
    after = process(
        1,
        12.0,
        cpu_s=2.0,
        events=25,
        kinds={"handle": kind(4, 10, 300, 1.5, 0.2), "late": kind(1, 2, 4, 0.0)},
        servers=[server(80, 10)],
    )
    now = rates(Asked(before, {}), Asked(after, {}))
    (one,) = now.processes
    assert (one.name, one.cpu, one.events_per_s, one.requests_per_s, one.connections) == ("process", 0.5, 10, 15, 3)
    (told,) = now.servers
    assert (told.accepted_per_s, told.requests_per_s, told.addresses) == (3, 15, ["127.0.0.1:80"])
    handle, late = now.kinds
    assert dataclasses.astuple(handle) == ("handle", 4, 3.0, 2.0, 15.0, 100.0, 0.5, 0.2, "app.py:1")
    assert dataclasses.astuple(late) == ("late", 1, 1.0, 0.5, None, 2.0, 0.0, 0.0, None)


def test_workers_are_summed_and_each_is_listed() -> None:
    def worker(pid: int, at: float, requests: int, slowest_s: float) -> Answer:
        kinds = {"handle": kind(3, 3, requests, 0.0, slowest_s)}
        queues = [dataclasses.asdict(QueueLengths("queue", "app.py:9", 1, pid, pid, 50, 0, 1))]
        return Answer(pid, process(pid, at, kinds=kinds, servers=[server(requests, 3)], queues=queues))

    before = supervised(worker(2, 0.0, 0, 0.1), worker(3, 5.0, 10, 0.3))
    after = supervised(worker(2, 1.0, 7, 0.1), worker(3, 7.0, 20, 0.3), at=1.0)
    now = rates(before, after)
    assert [(each.name, each.requests_per_s) for each in now.processes] == [
        ("all", 12.0),
        ("supervisor", 0),
        ("worker 0", 7.0),
        ("worker 1", 5.0),
    ]
    assert now.processes[0].memory_bytes == 30
    (handle,) = now.kinds
    assert (handle.alive, handle.requests_per_s, handle.turns_per_s, handle.slowest_s) == (6, 12.0, 12.0, 0.3)
    assert now.servers[0].connections == 6
    assert now.queues == [QueueLengths("queue", "app.py:9", 2, 5, 3, 50, 0, 2)]


def test_a_worker_that_has_just_come_adds_nothing_yet() -> None:
    old = Answer(2, process(2, 5.0, servers=[server(100, 9)]))
    new = Answer(3, process(3, 1.0, servers=[server(5, 5)], kinds={"handle": kind(5, 5, 9, 1.0)}))
    now = rates(supervised(old), supervised(new, at=1.0))
    assert [(each.pid, each.requests_per_s) for each in now.processes[2:]] == [(3, None)]
    assert (now.kinds[0].alive, now.kinds[0].turns_per_s, now.kinds[0].requests_per_s) == (5, 0.0, 0.0)
    assert (now.servers[0].connections, now.servers[0].requests_per_s) == (3, 0.0)


def test_a_process_with_the_pid_of_another_has_no_rates() -> None:
    before = process(1, 100.0, cpu_s=50.0, servers=[server(1000, 9)])
    for after in (process(1, 101.0, cpu_s=0.1, servers=[server(5, 5)]), process(1, 1.0, cpu_s=60.0)):
        now = rates(Asked(before, {}), Asked(after, {}))
        assert (now.processes[0].cpu, now.processes[0].events_per_s) == (None, None)
        assert all(told.requests_per_s == 0 for told in now.servers)


def test_a_worker_without_an_answer_is_listed_with_the_reason() -> None:
    answers = Answer(2, None, "process 2 did not answer"), Answer(3, process(3, 1.0))
    now = rates(supervised(*answers), supervised(*answers, at=1.0))
    lost = now.processes[2]
    assert (lost.pid, lost.state, lost.trouble, lost.cpu) == (2, "serving", "process 2 did not answer", None)
    missing = Asked(process(1, 0.0, supervisor={"workers": [{"number": 0, "pid": None, "state": "missing"}]}), {})
    assert [each.state for each in rates(missing, missing).processes] == ["", "", "missing"]


def test_the_busiest_come_first() -> None:
    kinds = {name: kind(1, 1, turns, ran_s) for name, turns, ran_s in (("idle", 1, 0.0), ("b", 9, 0.1), ("a", 1, 0.5))}
    none = process(1, 0.0)
    assert [told.kind for told in rates(Asked(none, {}), Asked(process(1, 1.0, kinds=kinds), {})).kinds] == [
        "a",
        "b",
        "idle",
    ]


@pytest.mark.parametrize("gone", ["handle", "other"])
def test_servers_that_come_and_go(gone: str) -> None:
    before = process(1, 0.0, servers=[server(5, 5, name=gone)])
    after = process(1, 1.0, servers=[server(2, 2)], kinds={"handle": kind(1, 1, 1, 0.0)})
    now = rates(Asked(before, {}), Asked(after, {}))
    assert now.servers[0].requests_per_s == now.kinds[0].requests_per_s == (0 if gone == "handle" else 2)
