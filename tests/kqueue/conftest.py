"""Who is asked: the system's own kqueue, or the simulator in both flavors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import asked


@pytest.fixture(params=asked.kernels())
def kernel(request: pytest.FixtureRequest) -> Iterator[asked.Kernel]:
    with asked.kernel(request.param) as kernel:
        yield kernel
