"""What processes have done between two answers, a second. Of a supervisor: all of its workers, summed and each.

Counters only grow, so nothing is counted twice or missed, however often somebody asks. A process that has answered only
once, such as a new worker, has no rates yet, and adds nothing to the sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .asking import Answer, Asked


@dataclass
class KindRates:
    """The threads that run the same function."""

    kind: str
    alive: int = 0
    started_per_s: float = 0.0
    ended_per_s: float = 0.0
    requests_per_s: float | None = None
    """None if the function is no handler of a server."""
    turns_per_s: float = 0.0
    busy: float = 0.0
    """How many seconds they run in each second."""
    slowest_s: float = 0.0
    """The longest turn of the last ten to twenty seconds."""
    slowest_at: str | None = None


@dataclass
class ServerRates:
    """A server, or those of all workers with the same handler."""

    server: str
    addresses: list[str] = field(default_factory=list)
    connections: int = 0
    accepted_per_s: float = 0.0
    requests_per_s: float = 0.0


@dataclass
class QueueLengths:
    """The queues or channels that were made in the same place."""

    kind: str
    made_at: str
    queues: int = 0
    items: int = 0
    longest: int = 0
    size: int | None = None
    getting: int = 0
    putting: int = 0


@dataclass
class ProcessRates:
    """One process. None: there are no rates yet, or it does not answer."""

    name: str
    pid: int | None
    state: str
    cpu: float | None = None
    memory_bytes: int | None = None
    threads: int | None = None
    ready: int | None = None
    connections: int | None = None
    requests_per_s: float | None = None
    events_per_s: float | None = None
    trouble: str | None = None


@dataclass
class Rates:
    """What all processes have done, and each of them."""

    processes: list[ProcessRates]
    kinds: list[KindRates]
    servers: list[ServerRates]
    queues: list[QueueLengths]


def rates(before: Asked, after: Asked) -> Rates:
    """Return what has happened between two answers of the same process."""
    known = {facts["pid"]: facts for facts in before.processes}
    pairs = [(known.get(facts["pid"]), facts) for facts in after.processes]
    kinds: dict[str, KindRates] = {}
    servers: dict[str, ServerRates] = {}
    queues: dict[tuple[str, str], QueueLengths] = {}
    for old, new in pairs:
        _add_servers(servers, old, new)
        _add_kinds(kinds, old, new)
        _add_queues(queues, new["queues"])
    return Rates(
        _with_sum(_processes(after, known)),
        sorted(kinds.values(), key=lambda kind: (-kind.busy, -kind.turns_per_s, -kind.alive, kind.kind)),
        sorted(servers.values(), key=lambda server: (-server.requests_per_s, -server.connections, server.server)),
        sorted(queues.values(), key=lambda queue: (-queue.items, -queue.putting, -queue.getting, queue.made_at)),
    )


def _seconds(old: dict[str, Any] | None, new: dict[str, Any]) -> float | None:
    """Return how many seconds lie between two answers; None if there is only one. A pid may be that of another now."""
    if old is None or new["cpu_s"] < old["cpu_s"] or new["monotonic_s"] <= old["monotonic_s"]:
        return None
    return float(new["monotonic_s"] - old["monotonic_s"])


def _rate(now: float, then: float, seconds: float) -> float:
    """Return how much a counter grows in each second. 0 if it has begun anew, such as that of a new server."""
    return max(now - then, 0) / seconds


def _add_kinds(kinds: dict[str, KindRates], old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    seconds = _seconds(old, new)
    requests = _requests_of(new)
    requests_before = _requests_of(old) if old is not None else {}
    for kind, now in new["kinds"].items():
        told = kinds.setdefault(kind, KindRates(kind))
        told.alive += now["alive"]
        if now["slowest_s"] > told.slowest_s:
            told.slowest_s, told.slowest_at = now["slowest_s"], now["slowest_at"]
        if kind in requests:
            told.requests_per_s = told.requests_per_s or 0.0
        if old is None or seconds is None:
            continue
        then = old["kinds"].get(kind, {"alive": 0, "started": 0, "turns": 0, "ran_s": 0.0})
        told.started_per_s += _rate(now["started"], then["started"], seconds)
        told.ended_per_s += _rate(now["started"] - now["alive"], then["started"] - then["alive"], seconds)
        told.turns_per_s += _rate(now["turns"], then["turns"], seconds)
        told.busy += _rate(now["ran_s"], then["ran_s"], seconds)
        if told.requests_per_s is not None:
            told.requests_per_s += _rate(requests.get(kind, 0), requests_before.get(kind, 0), seconds)


def _requests_of(facts: dict[str, Any]) -> dict[str, int]:
    """Return the requests of each handler. Its threads have the name of the handler."""
    found: dict[str, int] = {}
    for server in facts["servers"]:
        found[server["server"]] = found.get(server["server"], 0) + server["requests"]
    return found


def _add_servers(servers: dict[str, ServerRates], old: dict[str, Any] | None, new: dict[str, Any]) -> None:
    seconds = _seconds(old, new)
    then = {_identity(server): server for server in old["servers"]} if old is not None else {}
    for now in new["servers"]:
        told = servers.setdefault(now["server"], ServerRates(now["server"]))
        told.addresses += [address for address in now["addresses"] if address not in told.addresses]
        told.connections += now["connections"]
        was = then.get(_identity(now), {"accepted": 0, "requests": 0})
        if seconds is not None:
            told.accepted_per_s += _rate(now["accepted"], was["accepted"], seconds)
            told.requests_per_s += _rate(now["requests"], was["requests"], seconds)


def _identity(server: dict[str, Any]) -> tuple[str, ...]:
    return server["server"], *server["addresses"]


def _add_queues(queues: dict[tuple[str, str], QueueLengths], listed: Iterable[dict[str, Any]]) -> None:
    for queue in listed:
        place = queue["kind"], queue["made_at"]
        told = queues.setdefault(place, QueueLengths(*place, size=queue["size"]))
        told.longest = max(told.longest, queue["longest"])
        for name in ("queues", "items", "getting", "putting"):
            setattr(told, name, getattr(told, name) + queue[name])


def _processes(after: Asked, known: dict[int, dict[str, Any]]) -> list[ProcessRates]:
    if after.supervised is None:
        return [_process("process", "", Answer(after.facts["pid"], after.facts), known)]
    found = [_process("supervisor", "", Answer(after.facts["pid"], after.facts), known)]
    for worker in after.supervised:
        answer = after.workers.get(worker["pid"], Answer(worker["pid"], None))
        found.append(_process(f"worker {worker['number']}", worker["state"], answer, known))
    return found


def _with_sum(processes: list[ProcessRates]) -> list[ProcessRates]:
    """Add the sum, if there are several processes."""
    if len(processes) == 1:
        return processes
    total = ProcessRates("all", None, "")
    for name in ("cpu", "memory_bytes", "threads", "ready", "connections", "requests_per_s", "events_per_s"):
        known = [value for process in processes if (value := getattr(process, name)) is not None]
        setattr(total, name, sum(known) if known else None)
    return [total, *processes]


def _process(name: str, state: str, answer: Answer, known: dict[int, dict[str, Any]]) -> ProcessRates:
    told = ProcessRates(name, answer.pid, state, trouble=answer.trouble)
    new, old = answer.facts, known.get(answer.pid)
    if new is None:
        return told
    told.memory_bytes = new["memory_bytes"]
    told.threads = sum(loop["threads"] for loop in new["loops"])
    told.ready = sum(loop["ready"] for loop in new["loops"])
    told.connections = sum(server["connections"] for server in new["servers"])
    seconds = _seconds(old, new)
    if old is not None and seconds is not None:
        told.cpu = _rate(new["cpu_s"], old["cpu_s"], seconds)
        events, events_before = (sum(loop["events"] for loop in facts["loops"]) for facts in (new, old))
        told.events_per_s = _rate(events, events_before, seconds)
        servers: dict[str, ServerRates] = {}
        _add_servers(servers, old, new)
        told.requests_per_s = sum(server.requests_per_s for server in servers.values())
    return told
