"""How our tests run, and their fixtures that are `async def`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from .ownership import is_generator_test, is_ours, waits

if TYPE_CHECKING:
    from socket2.testing import Loop

LOOP = pytest.StashKey["Loop"]()
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: Any
) -> list[pytest.Item | pytest.Collector] | None:
    """Collect generator functions as other functions. pytest itself refuses them."""
    if not is_generator_test(collector, name, obj):
        return None
    return list(collector._genfunctions(name, getattr(obj, "__func__", obj)))


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    __tracebackhide__ = True
    if not is_ours(pyfuncitem):
        return None
    loop = pyfuncitem.stash[LOOP]
    args = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    if hasattr(pyfuncitem.obj, "hypothesis"):
        _run_examples(loop, pyfuncitem.obj, args)
    else:
        _run(loop, pyfuncitem.obj, args)
    return True


def _run(loop: Loop, func: Any, args: dict[str, Any]) -> None:
    __tracebackhide__ = True
    from socket2.testing import Hung

    made = func(**args)
    if inspect.isasyncgen(made):
        pytest.fail("a test cannot be an async generator: it must not `yield`", pytrace=False)
    if made is None:
        return
    if not hasattr(made, "send") and not hasattr(made, "__await__"):
        pytest.fail(f"a test must return None, but this one returned {made!r}: did you mean assert?", pytrace=False)
    hung = ""
    try:
        loop.run(made)
    except Hung as error:
        hung = str(error)
    if hung:
        pytest.fail(hung, pytrace=False)


def _run_examples(loop: Loop, func: Any, args: dict[str, Any]) -> None:
    """Let hypothesis call the test with each example, in one loop."""
    __tracebackhide__ = True
    inner = func.hypothesis.inner_test

    @functools.wraps(inner)
    def run_one(*given: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        _run(loop, functools.partial(inner, *given), kwargs)

    func.hypothesis.inner_test = run_one
    try:
        func(**args)
    finally:
        func.hypothesis.inner_test = inner


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Note that a test has failed. What it leaves behind then is only a consequence."""
    if call.excinfo is not None and call.when != "teardown":
        item.stash[FAILED] = True
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Let pytest call a plain function in place of an `async def` one."""
    item = request._pyfuncitem
    if not waits(fixturedef) or not is_ours(item):
        return (yield)
    if fixturedef.scope != "function":
        pytest.fail(
            f"the fixture {fixturedef.argname} is an `async def`, so it runs in the loop, and each test has a loop of "
            f"its own: the scope must be function, not {fixturedef.scope}",
            pytrace=False,
        )
    func = fixturedef.func
    fixturedef.func = _plain(func, item)  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = func  # type: ignore[misc]


def _plain(func: Any, item: pytest.Item) -> Any:
    """Return a plain function, or one of pytest's yield fixtures, that does what `func` does."""
    bound = getattr(func, "__self__", None)
    inner = getattr(func, "__func__", func)

    def run(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return item.stash[LOOP].run(inner, *args, **kwargs)

    def hold(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        __tracebackhide__ = True
        from socket2.testing import Held

        held = Held(inner(*args, **kwargs), f"fixture {inner.__name__}")
        yield item.stash[LOOP].run(held.begin)
        item.stash[LOOP].run(held.end)

    plain: Any = functools.wraps(inner)(hold if inspect.isasyncgenfunction(func) else run)
    return plain if bound is None else plain.__get__(bound)
