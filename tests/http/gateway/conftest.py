"""The clients of these tests end their half of the connection, and wait for the answer however busy the machine is."""

from __future__ import annotations

import pytest

from socket2.http.gateway import lookout


@pytest.fixture(autouse=True)
def nobody_looks_whether_clients_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_S", 60.0)
