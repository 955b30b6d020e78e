"""What tests can ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from .options import limit_of, reporter, seed_from_environment
from .ownership import is_ours
from .running import FAILED, LOOP

if TYPE_CHECKING:
    from socket2 import TCP
    from socket2.testing import JumpingClock, Loop, Recorded

_ENDS = pytest.StashKey[bool]()


@pytest.fixture
def socket2_poller(request: pytest.FixtureRequest) -> str | None:
    """The name of the poller that the mark pollers asks for. None: the one that every program gets."""
    name: str | None = getattr(request, "param", None)
    if name is not None:
        import pollers

        if name not in pollers.available():
            pytest.skip(f"this system has no poller {name!r}")
    return name


@pytest.fixture(autouse=True)
def socket2_loop(request: pytest.FixtureRequest, socket2_poller: str | None) -> Iterator[None]:
    """Make the loop of a test of ours before all else that the test uses, and check at the very end what is left."""
    item = request.node
    if not is_ours(item):
        yield
        return
    from socket2.testing import LeftBehind, Loop, end_os_threads

    if _ENDS not in item.config.stash:
        item.config.stash[_ENDS] = True
        item.config.add_cleanup(end_os_threads)
    options = _options(item)
    loop = Loop(
        socket2_poller,
        autojump="autojump" in item.fixturenames,
        limit_s=limit_of(item),
        report=reporter(item.config),
        **options,
    )
    item.stash[LOOP] = loop
    loop.__enter__()
    yield
    del item.stash[LOOP]
    left = ""
    try:
        loop.close(check=not item.stash.get(FAILED, False))
    except LeftBehind as error:
        left = str(error)
    if left:
        pytest.fail(left, pytrace=False)


def _options(item: pytest.Item) -> dict[str, bool]:
    given: dict[str, Any] = {}
    for mark in item.iter_markers("socket2"):  # the closest one first
        if mark.args or mark.kwargs.keys() - {"timeout", "allow_errors", "allow_leaks"}:
            pytest.fail("the mark socket2 takes timeout, allow_errors and allow_leaks, by name", pytrace=False)
        given = {**mark.kwargs, **given}
    return {name: bool(value) for name, value in given.items() if name != "timeout"}


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Loop:
    """The loop of this test, for tests and fixtures that are plain functions: `loop.run(main)`."""
    return _loop_of(request)


@pytest.fixture
def autojump(request: pytest.FixtureRequest) -> JumpingClock:
    """The clock of this test, which jumps to the next deadline whenever all threads wait."""
    clock = _loop_of(request).clock
    assert clock is not None
    return clock


def _loop_of(request: pytest.FixtureRequest) -> Loop:
    item = request.node
    if LOOP not in item.stash:
        pytest.fail(
            f"{request.fixturename} needs the loop of socket2, and socket2 does not run this test", pytrace=False
        )
    found: Loop = item.stash[LOOP]
    return found


@pytest.fixture
def connected_pair(request: pytest.FixtureRequest) -> Iterator[tuple[TCP, TCP]]:
    """Two connected TCP sockets. With autojump they are UNIX sockets, whose bytes arrive at once."""
    from socket2 import socketpair

    one, other = socketpair() if _loop_of(request).clock is not None else socketpair(family="inet")
    try:
        yield one, other
    finally:
        one.close()
        other.close()


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> Iterator[Recorded]:
    """Peers that play scripts: see socket2.testing.Recorded. At the end each script must have been played."""
    from socket2.testing import Recorded

    loop = _loop_of(request)
    peers = Recorded()
    yield peers
    if not request.node.stash.get(FAILED, False):
        loop.run(peers.end)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A TCP port on 127.0.0.1 that the system gives to nobody else during the test. See socket2.testing.held_port()."""
    from socket2.testing import held_port

    with held_port() as port:
        yield port


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test: of the mark seeds, or else SOCKET2_SEED, or 0."""
    seed: int | None = getattr(request, "param", None)
    return seed if seed is not None else seed_from_environment() or 0
