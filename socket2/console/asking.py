"""Asks a process and, if it is a supervisor, all of its workers at the same time.

A worker may end or be stopped at any moment. Then its answer is the reason why there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..debug.inquiry import Unanswered, ask

_ASKED_AT_ONCE = 32


@dataclass(frozen=True)
class Answer:
    """What a process has answered, or why it has not."""

    pid: int
    facts: dict[str, Any] | None
    trouble: str | None = None


@dataclass(frozen=True)
class Asked:
    """A process, and the answers of its workers by process ID."""

    facts: dict[str, Any]
    workers: dict[int, Answer]

    @property
    def supervised(self) -> list[dict[str, Any]] | None:
        """What the supervisor says of each worker; None if the process is no supervisor."""
        supervisor = self.facts["supervisor"]
        return supervisor["workers"] if supervisor is not None else None

    @property
    def processes(self) -> list[dict[str, Any]]:
        """The facts about each process that has answered."""
        return [self.facts, *(answer.facts for answer in self.workers.values() if answer.facts is not None)]

    def as_json(self) -> str:
        """Return a line of JSON: the facts, and within each worker "process", its facts, and "trouble"."""
        facts = dict(self.facts)
        if self.supervised is not None:
            workers = [worker | self._of_worker(worker["pid"]) for worker in self.supervised]
            facts["supervisor"] = facts["supervisor"] | {"workers": workers}
        return json.dumps(facts) + "\n"

    def _of_worker(self, pid: int | None) -> dict[str, Any]:
        answer = self.workers.get(pid) if pid is not None else None
        return {"process": answer and answer.facts, "trouble": answer and answer.trouble}


def ask_with_workers(pid: int, question: str = "facts", limit_s: float | None = None) -> Asked:
    """Ask a process and its workers for "facts" or "json". Raises Unanswered if the process itself does not answer."""
    facts = _facts_of(pid, ask(pid, question, limit_s))
    supervisor = facts["supervisor"]
    pids = [worker["pid"] for worker in supervisor["workers"] if worker["pid"] is not None] if supervisor else []
    return Asked(facts, {answer.pid: answer for answer in ask_each(pids, question, limit_s)})


def ask_each(pids: Iterable[int], question: str, limit_s: float | None = None) -> list[Answer]:
    """Ask all at the same time: one that is stopped does not delay the others."""

    def answer(pid: int) -> Answer:
        try:
            text = ask(pid, question, limit_s)
            return Answer(pid, _facts_of(pid, text) if question in ("facts", "json") else {"text": text})
        except Unanswered as error:
            return Answer(pid, None, str(error))

    with ThreadPoolExecutor(_ASKED_AT_ONCE) as askers:
        return list(askers.map(answer, pids))


def _facts_of(pid: int, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Unanswered(f"process {pid} ended while it answered") from None
