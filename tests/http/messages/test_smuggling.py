"""What a request may not be: each is refused as a whole or after its head, with all checkers."""

from __future__ import annotations

import pytest

from socket2.http.messages.serverside import ServerSide

from ..conftest import Checkers
from ..sides import serve
from ..smuggled import REFUSED, TAKEN


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str, checker: Checkers) -> None:
    """And that before the client ends its half."""
    side = ServerSide(checker=checker.requests)
    happened = serve(side, [REFUSED[name]])
    assert happened[-1][0] == "refused"
    assert 400 <= happened[-1][1] <= 505
    assert not [event for event in happened if event[0] == "end"]
    assert not side.incoming.ended


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken(name: str, checker: Checkers) -> None:
    happened = serve(ServerSide(checker=checker.requests), [TAKEN[name]])
    assert [event[0] for event in happened].count("request") == TAKEN[name].count(b"HTTP/1.")
    assert happened[-1][0] != "refused"
