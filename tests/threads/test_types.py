"""What a type checker knows of threads: what they return, and which arguments their functions take.

tests/programs/test_types.py has mypy check this module, and it runs. So each `assert_type` holds for real values, and
each line with a `type: ignore` is refused by both. `type: ignore[call-overload]` must stand on the line of the call:
mypy reports unused ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, assert_type

import pytest

from pollers import operation
from socket2 import (
    Operation,
    Thread,
    call_in_thread,
    newthread,
    run,
    runafter,
    runat,
    runevery,
    sleep,
    start,
    threadset,
)
from socket2.threads.osthreads import SystemResolver


def generator(number: int, text: str = "", *, twice: bool = False) -> Generator[Any, Any, int]:
    yield from sleep(0)
    return number * (1 + twice)


def of_json(found: dict[str, Any]) -> Generator[Any, None, int]:
    yield from sleep(0)
    return len(found)


async def coroutine(number: int, text: str = "", *, twice: bool = False) -> str:
    return f"{number}{text}"


async def of_anything(found: Any) -> str:
    return str(found)


@operation
def steps(number: int, *, twice: bool = False) -> Generator[Any, None, bytes]:
    yield from sleep(0)
    return bytes(number)


def plain(number: int, *, twice: bool = False) -> float:
    return float(number)


def makes_operation(number: int) -> Operation[bytes]:
    return steps(number)


def awaitable(number: int) -> Awaitable[str]:
    return coroutine(number)


def greeting(name: str) -> str:
    return f"hello {name}"


class Worker:
    def method(self, number: int) -> Generator[Any, Any, int]:
        return generator(number)

    async def coroutine(self) -> str:
        return "worker"


def test_the_results_of_threads_have_the_types_of_their_functions() -> None:
    async def main() -> str:
        assert await assert_type(newthread(generator, 1), Thread[int]).join() == 1
        assert await assert_type(newthread(generator, 1, "text"), Thread[int]).join() == 1
        assert await assert_type(newthread(generator, number=1, twice=True), Thread[int]).join() == 2
        assert await assert_type(newthread(of_json, {}), Thread[int]).join() == 0
        assert await assert_type(newthread(coroutine, 1, text="a"), Thread[str]).join() == "1a"
        assert await assert_type(newthread(of_anything, []), Thread[str]).join() == "[]"
        assert await assert_type(newthread(steps, 2, twice=True), Thread[bytes]).join() == bytes(2)
        assert await assert_type(newthread(makes_operation, 2), Thread[bytes]).join() == bytes(2)
        assert await assert_type(newthread(plain, 1, twice=True), Thread[float]).join() == 1.0
        assert await assert_type(newthread(Worker().method, 1), Thread[int]).join() == 1
        assert await assert_type(newthread(Worker().coroutine), Thread[str]).join() == "worker"
        assert await assert_type(newthread(partial(generator, 1, twice=True)), Thread[int]).join() == 2
        assert await assert_type(newthread(lambda: steps(1)), Thread[bytes]).join() == bytes(1)
        assert await assert_type(newthread(len, "abc"), Thread[int]).join() == 3
        assert await assert_type(newthread(newthread(generator, 1).join), Thread[int]).join() == 1
        assert await assert_type(newthread(awaitable, 1), Thread[Any]).join() == "1"
        assert_type(await newthread(generator, 1).join(), int)
        return "done"

    assert assert_type(run(main), str) == "done"


def test_what_exists_already_has_a_type_too() -> None:
    async def main() -> None:
        assert await assert_type(newthread(generator(1)), Thread[int]).join() == 1
        assert await assert_type(newthread(coroutine(1), name="one"), Thread[str]).join() == "1"
        assert await assert_type(newthread(steps(1)), Thread[bytes]).join() == bytes(1)
        newthread(generator(1), 1)  # type: ignore[call-overload]

    with pytest.raises(TypeError, match="takes no arguments"):
        run(main)
    made = coroutine(1)
    with pytest.raises(TypeError, match="takes no arguments"):
        newthread(made, number=1)  # type: ignore[call-overload]
    made.close()


def test_a_thread_with_a_name() -> None:
    async def main() -> None:
        thread = assert_type(newthread(generator, 1, name="one"), Thread[int])
        assert thread.name == "one"
        assert await assert_type(newthread(coroutine, 1, "a", name="one"), Thread[str]).join() == "1a"
        assert await assert_type(newthread(steps, 1, name="one"), Thread[bytes]).join() == bytes(1)
        assert await assert_type(newthread(plain, 1, name="one"), Thread[float]).join() == 1.0
        assert await assert_type(newthread(awaitable, 1, name="one"), Thread[Any]).join() == "1"
        assert await assert_type(newthread(partial(plain, 1, twice=True), name="one"), Thread[float]).join() == 1.0
        with pytest.raises(TypeError):
            newthread(plain, "1", 2, name="one")  # type: ignore[call-arg, arg-type]
        with pytest.raises(TypeError, match="must be a str"):
            newthread(plain, 1, name=5)  # type: ignore[call-arg, arg-type]
        assert await thread.join() == 1

    run(main)


def test_a_function_with_a_parameter_that_is_called_name() -> None:
    async def main() -> None:
        thread = assert_type(newthread(greeting, "you", name="greeter"), Thread[str])
        assert thread.name == "greeter"
        assert await thread.join() == "hello you"
        assert await newthread(partial(greeting, name="you")).join() == "hello you"
        assert newthread(partial(greeting, name="you")).name == "greeting"
        async with threadset() as ts:
            with pytest.raises(TypeError, match=r"'name'\. newthread\(\) takes name= for itself: .*partial"):
                newthread(greeting, name="you")
            with pytest.raises(TypeError, match=r"'name'\. newthread\(\) takes name= for itself: .*partial"):
                ts.newthread(greeting, name="you")
        with pytest.raises(TypeError, match=r"argument: 'name'$"):
            newthread(greeting)  # type: ignore[call-overload]

    run(main)


def test_a_function_with_a_parameter_that_is_called_resolver() -> None:
    async def resolve(resolver: object) -> None: ...

    with pytest.raises(TypeError, match=r"'resolver'\. run\(\) takes resolver= for itself: .*partial"):
        run(resolve, resolver=SystemResolver())


def test_a_wrong_call_in_the_function_is_told_as_it_is() -> None:
    async def main(name: str) -> None:
        greeting()  # type: ignore[call-arg]

    async def start() -> None:
        with pytest.raises(TypeError, match=r"greeting\(\) missing 1 required positional argument: 'name'$"):
            await newthread(main, "you", name="one").join()

    run(start)


def test_names_of_our_parameters_are_free_for_the_function() -> None:
    def func(func: int, main: int, self: int, when: int, seconds: int) -> tuple[int, ...]:
        return func, main, self, when, seconds

    async def main() -> None:
        call = {"func": 1, "main": 2, "self": 3, "when": 4, "seconds": 5}
        async with threadset() as ts:
            assert await newthread(func, **call).join() == (1, 2, 3, 4, 5)
            assert await ts.newthread(func, **call).join() == (1, 2, 3, 4, 5)
            assert await runafter(0, func, **call).join() == (1, 2, 3, 4, 5)
            assert await runat(0, func, **call).join() == (1, 2, 3, 4, 5)
            assert await call_in_thread(func, **call) == (1, 2, 3, 4, 5)

    run(main)
    assert run(func, func=1, main=2, self=3, when=4, seconds=5) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("running", [False, True])
def test_wrong_arguments_are_refused(running: bool) -> None:
    def refused() -> None:
        with pytest.raises(TypeError):
            newthread(generator)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            newthread(generator, 1, "", True)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            newthread(generator, 1, thrice=True)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            newthread(coroutine, 1, text="", number=1)  # type: ignore[arg-type, misc]
        with pytest.raises(TypeError):
            newthread(plain, twice=True)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            newthread(5)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            newthread(5, number=1)  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            runafter(0, 5, number=1)  # type: ignore[call-overload]
        newthread(generator, "text").cancel()  # type: ignore[call-overload]
        newthread(generator, 1, twice="no").cancel()  # type: ignore[arg-type]

    run(refused) if running else refused()
    start()


def test_threads_of_several_types_are_threads_of_object() -> None:
    async def main() -> None:
        threads: list[Thread[object]] = [newthread(generator, 1), newthread(coroutine, 1)]
        assert [await thread.join() for thread in threads] == [1, "1"]
        alike = [newthread(generator, number) for number in range(3)]
        assert_type([await thread.join() for thread in alike], list[int])

    run(main)


def test_run_returns_what_main_returns() -> None:
    assert assert_type(run(generator, 2, twice=True), int) == 4
    assert assert_type(run(coroutine, 2, resolver=None), str) == "2"
    assert assert_type(run(steps(2)), bytes) == bytes(2)
    assert assert_type(run(steps(2), resolver=None), bytes) == bytes(2)
    assert assert_type(run(plain, 2), float) == 2.0
    with pytest.raises(TypeError):
        run(generator)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="resolver"):
        run(generator, 1, resolver=5)  # type: ignore[call-arg]


def test_members_of_a_threadset_and_calls_in_os_threads() -> None:
    async def main() -> None:
        async with threadset() as ts:
            assert await assert_type(ts.newthread(generator, 1, twice=True), Thread[int]).join() == 2
            assert await assert_type(ts.newthread(coroutine, 1, name="one"), Thread[str]).join() == "1"
            with pytest.raises(TypeError):
                ts.newthread(generator, 1, thrice=True)  # type: ignore[call-arg]
            with pytest.raises(TypeError, match="must be a str"):
                ts.newthread(generator, 1, name=5)  # type: ignore[call-arg]
        assert assert_type(await call_in_thread(plain, 1, twice=True), float) == 1.0
        with pytest.raises(TypeError):
            await call_in_thread(plain, "1", thrice=True)  # type: ignore[call-arg, arg-type]

    run(main)


def test_jobs_return_what_their_functions_return() -> None:
    async def main() -> None:
        assert await assert_type(runafter(0, generator, 1, twice=True), Thread[int]).join() == 2
        assert await assert_type(runat(0, coroutine, 1), Thread[str]).join() == "1"
        assert await assert_type(runafter(0, steps, 1), Thread[bytes]).join() == bytes(1)
        assert await assert_type(runafter(0, lambda: 1), Thread[int]).join() == 1
        every = assert_type(runevery(0.001, bool, 0), Thread[None])
        assert runafter(0, generator, 1).name == "generator"
        await every.join()

    run(main)


def test_functions_that_start_threads_for_others() -> None:
    """A function that passes a function on keeps what is known of it."""

    def start(func: Callable[[int], Coroutine[Any, Any, str]]) -> Thread[str]:
        return newthread(func, 1)

    assert run(start(coroutine).join) == "1"
