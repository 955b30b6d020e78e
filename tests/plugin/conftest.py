"""A project in which nothing but our plugin is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from ..interop.peers import LIMIT_S, ROOT

Project = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a function that runs pytest on the text of a module of tests. `beside`: in another process."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.delenv("SOCKET2_SEED", raising=False)

    def run(text: str, *args: str, ini: str = "", beside: bool = False) -> pytest.RunResult:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile(text)
        command = ["-p", "pytest_socket2", "-p", "no:cacheprovider", "--strict-markers", "-rA", *args]
        if beside:
            return pytester.runpytest_subprocess(*command, timeout=LIMIT_S)
        return pytester.runpytest_inprocess(*command)

    return run
