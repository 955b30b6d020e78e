"""What a server does for a request, besides the CPU time: instructions in user mode, and system calls.

Knows perf(1). These counts hardly depend on what else the machine does, so they show a change of a percent where
times show noise. Counting costs time itself, so it has a load of its own, after the one that is timed. perf needs a
CPU that lends its counters, and root, or a low kernel.perf_event_paranoid. What cannot be counted is left out, and
the report says why.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bench.programs import BenchError

__all__ = ["INSTRUCTIONS", "SYSTEM_CALLS", "Counts", "counting", "counting_note", "events_of"]

INSTRUCTIONS, SYSTEM_CALLS = "instructions", "syscalls"
EVENTS = {INSTRUCTIONS: "instructions:u", SYSTEM_CALLS: "raw_syscalls:sys_enter"}
TIMEOUT_S = 20.0

Counts = dict[str, float]


@cache
def events_of() -> Mapping[str, str]:
    """Return what can be counted here: perf's events by their names in samples."""
    if shutil.which("perf") is None:
        return {}
    return {name: event for name, event in EVENTS.items() if _works(event)}


def counting_note() -> str | None:
    """Return why something cannot be counted here, or None."""
    missing = [name for name in EVENTS if name not in events_of()]
    if not missing:
        return None
    if shutil.which("perf") is None:
        return f"no {' and no '.join(missing)} counted: perf is not installed (Debian: linux-perf)"
    return (
        f"no {' and no '.join(missing)} counted: perf may not count them here. "
        "Try it as root, or with kernel.perf_event_paranoid=-1; many virtual machines have no counters"
    )


def _works(event: str) -> bool:
    command = ["perf", "stat", "-x", ";", "-e", event, "true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(_parsed(done.stderr, {"it": event}))


def _parsed(text: str, events: Mapping[str, str]) -> Counts:
    """Return the counts in the output of `perf stat -x ;`."""
    found: Counts = {}
    for line in text.splitlines():
        count, _, event = [*line.split(";"), "", "", ""][:3]
        for name, wanted in events.items():
            if event == wanted and count.isdigit():
                found[name] = found.get(name, 0.0) + int(count)
    return found


@contextmanager
def counting(pids: Sequence[int]) -> Iterator[Counts]:
    """Count during the block. It gets a mapping that is filled at its end.

    Args:
        pids: the processes. OS threads that they start meanwhile count as well.

    Raises:
        BenchError: perf has failed.
    """
    counts: Counts = {}
    events = events_of()
    if not events:
        yield counts
        return
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        output = Path(folder) / "counts"
        orders, answers = os.pipe(), os.pipe()
        command = ["perf", "stat", "-x", ";", "-o", str(output), "-e", ",".join(events.values())]
        command += ["-p", ",".join(map(str, pids)), "--delay", "-1", "--control", f"fd:{orders[0]},{answers[1]}"]
        perf = subprocess.Popen(
            command, pass_fds=(orders[0], answers[1]), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        os.close(orders[0])
        os.close(answers[1])
        try:
            _order(b"enable\n", orders[1], answers[0])
            yield counts
            _order(b"disable\n", orders[1], answers[0])
            perf.send_signal(signal.SIGINT)
            perf.wait(TIMEOUT_S)
            counts.update(_parsed(output.read_text(), events))
        except (OSError, subprocess.TimeoutExpired) as error:
            said.seek(0)
            raise BenchError(f"perf: {said.read().decode(errors='replace').strip() or error}") from error
        finally:
            os.close(orders[1])
            os.close(answers[0])
            perf.kill()
            perf.wait()


def _order(order: bytes, orders: int, answers: int) -> None:
    os.write(orders, order)
    if not os.read(answers, 16):
        raise OSError("it has ended")
