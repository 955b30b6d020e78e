"""What perf says is read as it is meant, and what cannot be counted is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.counters import INSTRUCTIONS, SYSTEM_CALLS, counting, counting_note, events_of
from tests.interop.peers import needs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks need Linux")

# A perf that counts what it is told to, for machines without one.
PERF = """#!{python}
import os, signal, sys
arguments = sys.argv[1:]
assert arguments[0] == "stat"
if "-p" not in arguments:
    event = arguments[arguments.index("-e") + 1]
    count = "<not supported>" if event in os.environ.get("NOT_COUNTED", "") else "12"
    print(count, "", event, sep=";", file=sys.stderr)
    sys.exit(0)
orders, answers = map(int, arguments[arguments.index("--control") + 1].removeprefix("fd:").split(","))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
for expected in (b"enable\\n", b"disable\\n"):
    assert os.read(orders, 16) == expected
    os.write(answers, b"ack\\n")
signal.sigwait([signal.SIGINT])
events = arguments[arguments.index("-e") + 1].split(",")
with open(arguments[arguments.index("-o") + 1], "w") as file:
    print("# started on a day", file=file)
    for event in events:
        print(len(arguments[arguments.index("-p") + 1].split(",")) * 1000, "", event, "x", sep=";", file=file)
"""


@pytest.fixture
def perf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put an imitation of perf in place of the machine's."""
    program = tmp_path / "perf"
    program.write_text(PERF.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    events_of.cache_clear()
    yield
    events_of.cache_clear()


@pytest.mark.usefixtures("perf")
def test_counts_are_those_of_all_processes() -> None:
    assert list(events_of()) == [INSTRUCTIONS, SYSTEM_CALLS]
    assert counting_note() is None
    with counting([os.getpid(), os.getppid()]) as counts:
        assert counts == {}
    assert counts == {INSTRUCTIONS: 2000.0, SYSTEM_CALLS: 2000.0}


@pytest.mark.usefixtures("perf")
def test_what_the_machine_does_not_count_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_COUNTED", "instructions:u")
    assert list(events_of()) == [SYSTEM_CALLS]
    note = counting_note()
    assert note is not None
    assert note.startswith("no instructions counted: perf may not count them here. Try it as root")


def test_without_perf_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    events_of.cache_clear()
    with counting([os.getpid()]) as counts:
        pass
    assert counts == {}
    assert counting_note() == "no instructions and no syscalls counted: perf is not installed (Debian: linux-perf)"
    events_of.cache_clear()


def test_perf_counts_this_process() -> None:
    needs("perf", "linux-perf")
    events_of.cache_clear()
    if SYSTEM_CALLS not in events_of():
        pytest.skip(counting_note() or "")
    with counting([os.getpid()]) as counts:
        for _ in range(1000):
            os.getppid()
    assert 1000 <= counts[SYSTEM_CALLS] < 1100
