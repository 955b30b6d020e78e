"""What `python -m socket2 ps` prints: the report of a process, or the workers of a supervisor.

Knows how the facts are laid out as text. The text of one process comes from that process.
"""

from __future__ import annotations

from typing import Any

from ..debug.inquiry import ask
from ..debug.listing import columns, printable, text_of_time
from .asking import Answer, Asked, ask_each, ask_with_workers

_HEADINGS = (
    "WORKER",
    "PID",
    "STATE",
    "STARTS",
    "AGE",
    "CONNECTIONS",
    "ACCEPTED",
    "REQUESTS",
    "THREADS",
    "MEMORY",
    "LISTENS ON",
)


def listing(pid: int, kind: str | None) -> str:
    """Return what ps prints. Raises Unanswered.

    `kind`: "threads", "tree", "stacks", "stats" or "json". None: the workers of a supervisor, or else the threads.
    """
    if kind == "json":
        return ask_with_workers(pid, "json").as_json()
    asked = ask_with_workers(pid)
    question = "ps" if kind is None or kind == "threads" else kind
    if asked.supervised is None:
        return ask(pid, question)
    text = workers(asked)
    if kind is not None:
        numbers = {worker["pid"]: worker["number"] for worker in asked.supervised}
        for answer in ask_each([pid for pid, answer in asked.workers.items() if answer.facts is not None], question):
            text += f"\nworker {numbers[answer.pid]}: {_text_of(answer)}"
    return text


def _text_of(answer: Answer) -> str:
    return answer.facts["text"] if answer.facts is not None else f"{answer.trouble}\n"


def workers(asked: Asked) -> str:
    """Return a table with one line for each worker of a supervisor, and below it why some have not answered."""
    facts, supervised = asked.facts, asked.supervised or []
    where = printable(", ".join(facts["supervisor"]["addresses"]))
    head = (
        f"supervisor {facts['pid']}, socket2 {facts['socket2']}, Python {facts['python']}, {facts['time']}, "
        f"memory {text_of_bytes(facts['memory_bytes'])}\n{len(supervised)} workers on {where}"
    )
    rows = [_row(worker, asked.workers.get(worker["pid"])) for worker in supervised]
    troubles = [f"{answer.trouble}\n" for answer in asked.workers.values() if answer.trouble is not None]
    stopping = ", stopping" * facts["supervisor"]["stopping"]
    return f"{head}{stopping}\n\n{columns([_HEADINGS, *rows])}" + ("\n" + "".join(troubles)) * bool(troubles)


def _row(worker: dict[str, Any], answer: Answer | None) -> tuple[str, ...]:
    state = worker["state"]
    if worker["start_s"] is not None:
        state = f"missing, starts in {text_of_time(worker['start_s'])}"
    elif answer is None or answer.facts is None:
        state += ", no answer"
    facts = answer.facts if answer is not None else None
    return (
        str(worker["number"]),
        str(worker["pid"] or "-"),
        state,
        str(worker["starts"]),
        text_of_time(worker["age_s"]),
        *(["-"] * 6 if facts is None else _cells(facts)),
    )


def _cells(facts: dict[str, Any]) -> list[str]:
    servers = facts["servers"]
    addresses = dict.fromkeys(address for server in servers for address in server["addresses"])
    return [
        *(str(sum(server[name] for server in servers)) for name in ("connections", "accepted", "requests")),
        str(sum(loop["threads"] for loop in facts["loops"])),
        text_of_bytes(facts["memory_bytes"]),
        printable(", ".join(addresses)) or "-",
    ]


def text_of_bytes(n: int | None) -> str:
    """Return '21 MB', or '-' for None. A megabyte has 1000 * 1000 bytes."""
    if n is None:
        return "-"
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n / 1e3:.3g} kB"
