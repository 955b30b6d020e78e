"""Each test that takes a `checker` runs with llhttp and with the regular expressions."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from socket2.http.messages.heads import checkers
from socket2.http.messages.syntax import Checker


class Checkers(NamedTuple):
    requests: Checker
    responses: Checker


def checkers_of(kind: str) -> Checkers:
    make = checkers().get(kind)
    if make is None:
        pytest.skip("httptools is not installed (pip install httptools)")
    return Checkers(make(False), make(True))


@pytest.fixture(params=["llhttp", "python"])
def checker(request: pytest.FixtureRequest) -> Checkers:
    return checkers_of(request.param)
