"""An operation that is cancelled at any byte boundary: a part of what `python -m tests.tls.each_byte` tries."""

from __future__ import annotations

import pytest

from . import each_byte
from .certificates import Authority, versions

sides = pytest.mark.parametrize("who", ["client", "server"])


@sides
@versions
def test_a_handshake_that_is_cancelled_closes(authority: Authority, version: str, who: str) -> None:
    assert each_byte.handshakes(authority, version, who, 97) > 10


@sides
@versions
def test_a_record_is_received_and_sent_once(authority: Authority, version: str, who: str) -> None:
    assert each_byte.records(authority, version, who) > 3 * 25


@sides
@versions
def test_an_end_that_is_cancelled_closes(authority: Authority, version: str, who: str) -> None:
    assert each_byte.finishes(authority, version, who, 7) > 6


@sides
@pytest.mark.parametrize("way", ["in", "out"])
def test_new_keys_lose_nothing(authority: Authority, who: str, way: str) -> None:
    assert each_byte.new_keys(authority, who, way) > 20
