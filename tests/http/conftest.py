"""The parsers of heads, and certificates. Each test that takes a `checker` runs with each of them."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from socket2.http.messages.heads import checkers
from socket2.http.messages.syntax import Checker
from tests.tls.certificates import Authority


class Checkers(NamedTuple):
    requests: Checker
    responses: Checker


def checkers_of(kind: str) -> Checkers:
    make = checkers().get(kind)
    if make is None:
        pytest.skip(
            "the part in C is not built" if kind == "c" else "httptools is not installed (pip install httptools)"
        )
    return Checkers(make(False), make(True))


@pytest.fixture(params=["c", "llhttp", "python"])
def checker(request: pytest.FixtureRequest) -> Checkers:
    return checkers_of(request.param)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("http"))
