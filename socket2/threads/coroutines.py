"""What can be a thread: generators, coroutines and other awaitables.

Knows the kinds of functions in Python, and the usual mistakes with them. Must not know how a thread runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from types import CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

# The functions that start threads have an overload for each kind of function: what it returns is a generator, a
# coroutine, an operation, another awaitable, or the result itself. To a type checker a generator is a result like any
# other. So the order counts, and mypy gives up if the kinds are fewer and a type of the function contains Any.
T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")
A = TypeVar("A", bound=Awaitable[Any])
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

# CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR of `inspect`. Importing that module is slow.
_LAZY_FLAGS = 0x20 | 0x80 | 0x200


def is_coroutine(made: object) -> bool:
    """Whether this is a generator, a coroutine or another awaitable."""
    return isinstance(made, (GeneratorType, CoroutineType)) or hasattr(type(made), "__await__")


def steps_of(made: Any) -> Any:
    """Return an object with send() and throw() that runs `made`."""
    if isinstance(made, (GeneratorType, CoroutineType)):
        return made
    return _steps_of_awaitable(made)


def awaiting(made: Any) -> Any:
    """Return what any generator can `yield from`. A plain generator cannot `yield from` a coroutine itself."""
    return made if isinstance(made, GeneratorType) else made.__await__()


def _steps_of_awaitable(made: Any) -> Generator[Any, None, Any]:
    return (yield from awaiting(made))


def is_suspended(steps: Any) -> bool:
    """Whether a generator or coroutine has yielded, and has not been resumed since."""
    return bool(steps.gi_suspended if isinstance(steps, GeneratorType) else getattr(steps, "cr_suspended", False))


def are_new(steps: Any) -> bool:
    """Whether a generator or coroutine has not begun to run."""
    if isinstance(steps, GeneratorType):
        return steps.gi_frame is not None and not steps.gi_running and not steps.gi_suspended
    return steps is not None and steps.cr_frame is not None and not steps.cr_running and not steps.cr_suspended


def steps_later(func: Any, args: tuple[Any, ...]) -> Any:
    """Return an object with send() and throw() without running any code of `func`. Its first step runs that code.

    Raises TypeError if `func` cannot become a thread, or if its signature is known and does not fit `args`;
    RuntimeError if it is a generator or coroutine that has begun.
    """
    if is_coroutine(func):
        check_given(func, args)
        return steps_of(func)
    check_callable(func)
    if is_lazy(func):
        made = func(*args)
        if not is_coroutine(made):
            check_result(func, made)
        return steps_of(made)
    _check_args(func, args)
    return steps_of_call(func, args)


def steps_of_call(func: Callable[..., Any], args: tuple[Any, ...] = ()) -> Generator[Any, None, Any]:
    """Call `func`. If it returns something that can be a thread, run that, and return its result."""
    made = func(*args)
    if is_coroutine(made):
        return (yield from awaiting(made))
    check_result(func, made)
    return made


def is_lazy(func: Any) -> bool:
    """Whether a call of `func` makes a generator or a coroutine, and runs no code of `func`."""
    while isinstance(func, (partial, MethodType)):
        func = func.func if isinstance(func, partial) else func.__func__
    return isinstance(func, FunctionType) and bool(func.__code__.co_flags & _LAZY_FLAGS)


def check_plain(func: Any, what: str) -> None:
    """Raise TypeError if a call of `func` would not run it. `what`: the name of the function in messages."""
    if not callable(func):
        raise TypeError(f"{what} must be a function, not {func!r}")
    if is_lazy(func):
        raise TypeError(f"{what} must be a plain function: a call of {func!r} would not run it")


def _check_args(func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    import inspect  # not at the top: see _LAZY_FLAGS

    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return  # a function in C without a signature
    signature.bind(*args)


def name_of(func: Any) -> str | None:
    """Return the name of a function, or of the function in a partial()."""
    while isinstance(func, partial):
        func = func.func
    return getattr(func, "__qualname__", None)


def with_kwargs(func: Any, kwargs: dict[str, Any]) -> Any:
    """Return a function that calls `func` with `kwargs`. Raises TypeError if `func` cannot be called."""
    if is_coroutine(func):
        check_given(func, (kwargs,))
    check_callable(func)
    return partial(func, **kwargs)


def explain_missing(error: TypeError, func: Any, option: str, taken_by: str) -> None:
    """If `func` was called without its argument `option`, because the caller takes that for itself, say so in `error`.

    A type checker cannot see this: a ParamSpec has all parameters of the function.
    """
    text = str(error)
    if f"'{option}'" in text and text.startswith((f"{name_of(func)}() missing ", "missing a required ")):
        error.args = (f"{text}. {taken_by}() takes {option}= for itself: pass it on with functools.partial()",)


def check_given(made: object, args: tuple[Any, ...] = ()) -> None:
    """Check a generator, coroutine or other awaitable that is given in place of a function.

    Two threads must not step one generator: the first one would wait forever for what the second one took.
    """
    if args:
        raise TypeError("a generator or coroutine that exists already takes no arguments")
    if isinstance(made, (GeneratorType, CoroutineType)) and not are_new(made):
        raise RuntimeError(f"{made!r} has begun already: make one for each thread")


def check_callable(func: Any) -> None:
    if not callable(func):
        raise TypeError(f"a thread needs a function, a generator or a coroutine, not {func!r}")


def not_a_call(func: Any, made: Any) -> TypeError:
    """Return the error of gather() and first() for a plain function, which cannot run beside others."""
    return TypeError(
        f"{func!r} returned {made!r}, but a call must return a generator, a coroutine or an operation: "
        "for a function that blocks, use call_in_thread()"
    )


def check_result(func: Any, made: Any) -> None:
    if hasattr(made, "asend"):  # a stream, too, has __anext__()
        raise TypeError(f"{func!r} returned an async generator, which cannot be a thread")


def is_bad_call(error: BaseException) -> bool:
    """Whether a call failed because of its arguments, before any code of the function ran."""
    return isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None


def no_wait(name: str, yielded: object, error: Exception) -> Exception:
    """Return the exception to throw into the thread `name`, which yielded something that cannot be waited for."""
    if hasattr(yielded, "park"):
        return error
    if hasattr(yielded, "_asyncio_future_blocking"):
        return TypeError(f"{name} waits for a future of asyncio, whose loop does not run here: {yielded!r}")
    if is_coroutine(yielded):
        return TypeError(f"{name} yielded {yielded!r}: did you write `yield` instead of `yield from`?")
    return TypeError(f"{name} waits for {yielded!r}, which is not an operation of socket2")
