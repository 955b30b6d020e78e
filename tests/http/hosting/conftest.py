"""WSGI applications in both of their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from socket2 import http


@pytest.fixture(params=["in OS threads", "in the loop"])
def hosted(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def host(app: Any, **options: Any) -> Any:
        return http.wsgi(app, in_loop=request.param == "in the loop", **options)

    return host
