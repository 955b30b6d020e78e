"""Pipes that somebody else has made."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from socket2 import FdStream, fd_stream

Steps = Generator[Any, Any, Any]

MUCH = 1_000_000


@contextmanager
def given_pipe() -> Iterator[tuple[FdStream, FdStream]]:
    """The ends of a pipe that somebody else has made. Both are blocking, and must stay so."""
    reader, writer = os.pipe()
    kept = os.dup(reader), os.dup(writer)
    with fd_stream(reader) as one, fd_stream(writer) as other:
        yield one, other
    for fd in kept:
        assert os.get_blocking(fd)
        os.close(fd)
