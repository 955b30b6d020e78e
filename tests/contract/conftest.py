"""The contract runs over every kind of poller: bare, under the checking poller, and made to be shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import lacking
from .driver import Driver
from .kinds import make, names


@pytest.fixture(params=names(), ids="-".join)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    kind, manner = request.param
    driver = Driver(make(kind, checked=manner == "checked"), kind)
    if manner == "shared":
        driver.poller.share()
    yield driver
    driver.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        kind = callspec.params.get("driver", ("", ""))[0] if callspec is not None else ""
        name = item.nodeid.partition("contract/")[2].partition("[")[0]
        if name in lacking.LACKING.get(kind, ()):
            item.add_marker(pytest.mark.xfail(reason="not yet there", strict=True))
        if name in lacking.NOT_RUN.get(kind, ()):
            item.add_marker(pytest.mark.xfail(reason="not yet there", run=False))
