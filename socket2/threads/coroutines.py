"""What can be a thread: generators, coroutines, and whatever else can be awaited.

Knows Python's kinds of functions and what their mistakes look like; knows nothing of running them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from types import CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any

# CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR of `inspect`, which takes long to import.
_LAZY_FLAGS = 0x20 | 0x80 | 0x200


def is_coroutine(made: object) -> bool:
    return isinstance(made, (GeneratorType, CoroutineType)) or hasattr(type(made), "__await__")


def steps_of(made: Any) -> Any:
    """What send() and throw() work on."""
    if isinstance(made, (GeneratorType, CoroutineType)):
        return made
    return _steps_of_awaitable(made)


def awaiting(made: Any) -> Any:
    """What `yield from` takes in any generator: a plain one may not `yield from` a coroutine itself."""
    return made if isinstance(made, GeneratorType) else made.__await__()


def _steps_of_awaitable(made: Any) -> Generator[Any, None, Any]:
    return (yield from awaiting(made))


def steps_later(func: Any, args: tuple[Any, ...]) -> Any:
    """What send() and throw() work on, made without running any code of `func`: that is for the first step to do.

    TypeError when `func` is nothing to make a thread of, or cannot be called with `args`, as far as can be told.
    """
    if is_coroutine(func):
        check_no_args(args)
        return steps_of(func)
    check_callable(func)
    if _is_lazy(func):
        made = func(*args)
        if not is_coroutine(made):
            check_result(func, made)
        return steps_of(made)
    _check_args(func, args)
    return _steps_of_call(func, args)


def _steps_of_call(func: Callable[..., Any], args: tuple[Any, ...]) -> Generator[Any, None, Any]:
    made = func(*args)
    if is_coroutine(made):
        return (yield from awaiting(made))
    check_result(func, made)
    return made


def _is_lazy(func: Any) -> bool:
    """Whether a call of it makes a generator or a coroutine and does nothing else."""
    while isinstance(func, (partial, MethodType)):
        func = func.func if isinstance(func, partial) else func.__func__
    return isinstance(func, FunctionType) and bool(func.__code__.co_flags & _LAZY_FLAGS)


def _check_args(func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import inspect  # here: see _LAZY_FLAGS

    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return  # in C, and does not tell
    signature.bind(*args)


def check_no_args(args: tuple[Any, ...]) -> None:
    if args:
        raise TypeError("arguments go with a function, not with a generator or coroutine that exists already")


def check_callable(func: Any) -> None:
    if not callable(func):
        raise TypeError(f"a thread needs a function, a generator or a coroutine, not {func!r}")


def check_result(func: Any, made: Any) -> None:
    if hasattr(made, "__anext__"):
        raise TypeError(f"{func!r} is an async generator, which is no thread")


def is_bad_call(error: BaseException) -> bool:
    """Whether a call failed for its arguments, before any code of the function ran."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def no_wait(name: str, yielded: object, error: Exception) -> Exception:
    """What to throw into the thread `name`, which cannot be parked on what it has yielded."""
    if hasattr(yielded, "park"):
        return error
    missing = " (is it `yield` where `yield from` was meant?)" if is_coroutine(yielded) else ""
    return TypeError(f"{name} waits for {yielded!r}, which is no operation of socket2{missing}")
