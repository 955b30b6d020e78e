"""The crashhook gets every error of a listener. A test that expects no error must have none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from socket2.threads import thread


@pytest.fixture(autouse=True)
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """The errors that were reported. A test that expects some clears the list."""
    reported: list[BaseException] = []
    monkeypatch.setattr(thread, "crashhook", lambda thread, error: reported.append(error))
    yield reported
    assert reported == []
