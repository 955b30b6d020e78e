"""Child programs: start one on its core, read its lines, end it.

Knows processes and pipes, but not what the programs do. Servers and load generators print one line
on stdout for each event: a word, then its value. Their stderr goes to a file, so that a program in
trouble never blocks on a full pipe, and its last lines can be quoted.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["BenchError", "Program"]

ROOT = Path(__file__).resolve().parent.parent
QUOTED_LINES_MAX = 5


class BenchError(Exception):
    """A program could not be built or started, or it failed."""


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Pin this process for the block. A child started in it inherits the core, so it is pinned from the start."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Program:
    """A running child process. As a context manager it is killed at the end of the block.

    Args:
        name: its name in errors.
        command: the program and its arguments.
        core: the number of the core to run on, None for any.
        env: more environment variables.

    Raises:
        BenchError: it cannot be started.
    """

    def __init__(
        self, name: str, command: Sequence[str], core: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the program
        self._unread = b""
        try:
            with _pinned(core):
                self._process = subprocess.Popen(
                    command,
                    bufsize=0,
                    cwd=ROOT,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    process_group=0,
                )
        except OSError as error:
            self._stderr.close()
            raise BenchError(f"cannot start {command[0]}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def expect(self, word: str, timeout_s: float) -> str:
        """Read the next line, which must begin with `word`. Returns the rest of it.

        Args:
            word: the first word, or "" for any line.
            timeout_s: how long to wait, in seconds.

        Raises:
            BenchError: the line begins differently, no line came in time, or the program has ended.
        """
        line = self._line(time.monotonic() + timeout_s)
        if line is None:
            raise BenchError(f"{self.name}: no answer in {timeout_s:g} s{self.last_words()}")
        if not line.startswith(word):
            raise BenchError(f"{self.name}: said {line!r}, not {word!r}{self.last_words()}")
        return line[len(word) :].strip()

    def tell(self, line: str) -> None:
        """Write one line to its stdin."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError as error:
            raise BenchError(f"{self.name}: ended early{self.last_words()}") from error

    def last_words(self) -> str:
        """Return the last lines of its stderr, each after a newline and an indent; "" if there are none."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return "".join("\n    " + line for line in lines[-QUOTED_LINES_MAX:])

    def kill(self) -> None:
        """End it and its children now, and reap it. Does nothing if it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                pipe.close()

    def _line(self, deadline: float) -> str | None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            data = os.read(fd, 65536)
            if not data:
                self._process.wait()
                raise BenchError(f"{self.name}: ended with status {self._process.returncode}{self.last_words()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()
