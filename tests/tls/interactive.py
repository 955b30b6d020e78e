"""Programs that speak TLS, as they are used on a terminal."""

from __future__ import annotations

import re
import subprocess
from typing import IO

from socket2 import call_in_thread

from .ends import Steps


class Interactive:
    """A program that is told what to do, line by line."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def say(self, line: str) -> None:
        self._stdin.write(line.encode() + b"\n")

    def end(self) -> None:
        self._stdin.close()

    def until(self, pattern: str) -> Steps:
        """Wait until it prints a line like that, and return the match."""
        stdout = self._process.stdout
        assert stdout is not None
        lines = []
        while line := (yield from call_in_thread(stdout.readline)):
            lines.append(line)
            if match := re.search(pattern, line.decode()):
                return match
        raise AssertionError(f"it has not printed {pattern!r}, but {b''.join(lines)!r}")

    def __enter__(self) -> Interactive:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
