"""Children over the same pollers as files, and each way to learn of the end of one. None is left after a test."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from ..files.conftest import collect_ignore_glob, poller
from ..interop.peers import LIMIT_S

__all__ = ["collect_ignore_glob", "poller"]


@pytest.fixture(params=["pidfd", "OS thread", "OS thread that takes the exit code"])
def exit_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, poller: None) -> str:
    if request.param != "pidfd":

        def refuse(pid: int) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
        if request.param != "OS thread":  # macOS before Python 3.13
            monkeypatch.delattr(os, "waitid", raising=False)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no pidfd")
    return str(request.param)


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "socket2 process":
            thread.join(LIMIT_S)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
