"""The settings and marks, and what they make of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

MODES = ("auto", "strict")
SEED = "SOCKET2_SEED"

_STDERR = pytest.StashKey[int]()
_DEBUGGED = pytest.StashKey[bool]()

_MARKS = """
socket2(timeout=60, allow_errors=False, allow_leaks=False): run this test in a loop of socket2.
pollers(*names): run this test once over each of these pollers.
seeds(count): run this test with the seeds 0 to count - 1. Only with SOCKET2_SEED, if that is set.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "socket2_mode", '"auto", or "strict": only tests with the mark socket2 are run by socket2', default="auto"
    )
    parser.addini("socket2_timeout", "how many seconds a test of socket2 may take; 0: any time", default="60")


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKS.strip().splitlines():
        config.addinivalue_line("markers", line)
    if config.getini("socket2_mode") not in MODES:
        raise pytest.UsageError(f"socket2_mode must be {' or '.join(MODES)}, not {config.getini('socket2_mode')!r}")
    _seconds("socket2_timeout", config.getini("socket2_timeout"))
    config.stash[_STDERR] = os.dup(2)  # not captured yet


def pytest_unconfigure(config: pytest.Config) -> None:
    if _STDERR in config.stash:
        os.close(config.stash[_STDERR])
        del config.stash[_STDERR]


def reporter(config: pytest.Config) -> Callable[[str], object]:
    """Return a function that prints where nothing is captured, for a test that may never end."""
    return lambda text: os.write(config.stash[_STDERR], f"\n{text}\n".encode(errors="replace"))


def pytest_enter_pdb(config: pytest.Config) -> None:
    config.stash[_DEBUGGED] = True


def limit_of(item: pytest.Item) -> float | None:
    """Return how many seconds a test may take. None: any time, which is also true under pytest's debugger."""
    if item.config.stash.get(_DEBUGGED, False):
        return None
    marks = [mark.kwargs for mark in item.iter_markers("socket2") if "timeout" in mark.kwargs]
    given = marks[0]["timeout"] if marks else item.config.getini("socket2_timeout")
    return _seconds("the timeout of the mark socket2" if marks else "socket2_timeout", given) or None


def _seconds(name: str, given: object) -> float:
    try:
        seconds = float(given or 0)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = -1.0
    if not seconds >= 0:
        raise pytest.UsageError(f"{name} must be a number of seconds, or 0 for any time, not {given!r}")
    return seconds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("pollers")
    if mark is not None:
        metafunc.parametrize("socket2_poller", _names(mark), indirect=True)
    mark = metafunc.definition.get_closest_marker("seeds")
    if mark is not None:
        seeds = _seeds(mark)
        if "seed" not in metafunc.fixturenames:
            pytest.fail(f"{metafunc.function.__name__} has the mark seeds, but uses no seed", pytrace=False)
        metafunc.parametrize("seed", seeds, indirect=True)


def _names(mark: pytest.Mark) -> tuple[str, ...]:
    if not mark.args or mark.kwargs or not all(isinstance(name, str) for name in mark.args):
        pytest.fail('the mark pollers takes names of pollers, such as pollers("epoll", "select")', pytrace=False)
    return mark.args


def _seeds(mark: pytest.Mark) -> range:
    if len(mark.args) != 1 or mark.kwargs or type(mark.args[0]) is not int or mark.args[0] < 1:
        pytest.fail("the mark seeds takes the number of seeds, such as seeds(200)", pytrace=False)
    one = seed_from_environment()
    return range(mark.args[0]) if one is None else range(one, one + 1)


def seed_from_environment() -> int | None:
    text = os.environ.get(SEED)
    try:
        return int(text) if text else None
    except ValueError:
        pytest.fail(f"{SEED} must be a whole number, not {text!r}", pytrace=False)
