"""Contexts for each version of TLS."""

from __future__ import annotations

import pytest

from ..certificates import VERSIONS, Authority
from .pairs import Contexts


@pytest.fixture(params=VERSIONS)
def contexts(request: pytest.FixtureRequest, authority: Authority) -> Contexts:
    """Return a client's and a server's context."""
    return authority.client(request.param), authority.server(request.param)
