"""`with` and `async with` for what a generator must end without a wait, and a coroutine can end with one."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pollers import Operation, operation

if TYPE_CHECKING:
    from typing import Self


class Block:
    """A base class. __exit__() does not wait. _leave() may, and ends an `async with` block."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def _leave(self) -> Operation[None]:
        raise NotImplementedError

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self

    @operation
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Generator[Any, None, None]:
        if kind is GeneratorExit:  # the thread is dropped, and must not wait
            self.__exit__()
        else:
            yield from self._leave()
