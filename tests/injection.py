"""Signal handlers that raise. A trace function takes their place, so each point of our code can be tried in turn."""

from __future__ import annotations

import dis
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType
from typing import Any, Self


class Raised(BaseException):
    """The error of the handler."""


class RaisedError(Exception):
    """The error of the handler, which `except Exception` catches."""


BOTH = (Raised, RaisedError)
EACH_ERROR = os.environ.get("EACH_ERROR") == "1"  # `make stress` sets it


@cache
def points(code: CodeType) -> set[int]:
    """Return where the interpreter checks for signals: at the start of a function or a loop turn, and after a call.

    An exception after a call is raised at the call. So a call that is the last one of a `with` or `try` block
    is skipped: an exception before the next instruction would be outside the block, with a lock that nobody releases.
    """
    entries: Any = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]

    def handler(offset: int) -> int | None:
        return next((entry.target for entry in entries if entry.start <= offset < entry.end), None)

    found = set()
    called_at = None
    for instruction in dis.get_instructions(code):
        at = instruction.offset
        after_call = called_at is not None and handler(called_at) == handler(at)
        begins = instruction.opname.startswith("RESUME") and (instruction.arg or 0) & 3 < 2  # else in a `yield from`
        if after_call or begins or instruction.opname == "JUMP_BACKWARD":
            found.add(at)
        subscribes = instruction.opname == "BINARY_SUBSCR" or instruction.argrepr == "[]"  # the latter in Python 3.14
        calls = instruction.opname.startswith(("CALL", "WITH_EXCEPT")) and "INTRINSIC" not in instruction.opname
        called_at = at if calls or subscribes else None
    return found


class Tracing:
    """Calls _step() before each instruction of the block."""

    def _traces(self, code: CodeType) -> bool:
        """Whether instructions of this code are among them."""
        return True

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        if not self._traces(frame.f_code):
            return None
        frame.f_trace = self._step  # first: Python 3.13 traces opcodes only if there is a trace function already
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Self:
        sys._getframe().f_trace_opcodes = True  # Python 3.12 checks whether anybody wants opcodes when tracing begins
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


class Injection(Tracing):
    """Raises at the point of that number, counted over all points that the block reaches."""

    error: type[BaseException] = Raised
    begins = False  # whether to raise before the first instruction of a function, too, which no `try` block guards

    def __init__(self, at: int, files: set[str]) -> None:
        """`files`: the code that the handler may interrupt."""
        self._at = at
        self._files = files
        self.count = 0
        self.where = ""

    def _traces(self, code: CodeType) -> bool:
        return code.co_filename in self._files

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        step = super()._enter(frame, event, arg)
        if step is not None and self.begins:
            self._reach(frame)
        return step

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            self._reach(frame)
        return self._step

    def _reach(self, frame: FrameType) -> None:
        if frame.f_lasti in points(frame.f_code):
            self.count += 1
            if self._is_here(frame):
                self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}, before byte {frame.f_lasti}"
                sys.settrace(None)
                raise self.error

    def _is_here(self, frame: FrameType) -> bool:
        return self.count == self._at


class ExactInjection(Injection):
    """Skips calls of Python functions: the interpreter checks for signals only after a call of a built-in function."""

    def __init__(self, at: int, files: set[str]) -> None:
        super().__init__(at, files)
        self._returned_into: FrameType | None = None

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_name == "__init__":  # the built-in type calls this
            return super()._enter(frame, event, arg)
        step = super()._enter(frame, event, arg)
        if step is None:
            frame.f_trace_lines = False
        return self._outside if step is None else self._step

    def _outside(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "return":
            self._returned_into = frame.f_back
        return self._outside

    def _step(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "return":
            self._returned_into = frame.f_back if frame.f_code.co_name != "__init__" else None
        elif event == "opcode":
            returned, self._returned_into = self._returned_into is frame, None
            if returned:
                return self._step
        return super()._step(frame, event, arg)


Place = tuple[CodeType, int, int]
"""A point, and the number of the visit to it, from 1."""


class PlacedInjection(ExactInjection):
    """Raises at a place; with None it notes all places."""

    def __init__(self, place: Place | None, files: set[str], error: type[BaseException], begins: bool) -> None:
        super().__init__(0, files)
        self.error = error
        self.begins = begins
        self._place = place
        self._only = None if place is None else place[0]
        self._codes: dict[int, CodeType] = {}  # by id: it takes long to hash them
        self._times: Counter[tuple[int, int]] = Counter()

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if self._only is None or code is self._only:
            return super()._enter(frame, event, arg)
        if code.co_name == "__init__":
            return None
        frame.f_trace_lines = False
        return self._outside

    def _is_here(self, frame: FrameType) -> bool:
        code, at = frame.f_code, frame.f_lasti
        self._codes[id(code)] = code
        self._times[id(code), at] += 1
        return self._place is not None and (at, self._times[id(code), at]) == self._place[1:]

    def places(self) -> list[Place]:
        """Return each point in the source: the first two times, and the last one."""
        return [
            (self._codes[code], at, time)
            for (code, at), times in self._times.items()
            for time in sorted({1, min(2, times), times})
        ]


def at_each_place(
    attempt: Callable[[PlacedInjection], None],
    files: set[str],
    *errors: type[BaseException],
    begins: bool = False,
) -> int:
    """Make an attempt without a handler that raises, then one for each place where it may. Return how many places.

    The places take turns with the errors, or, with EACH_ERROR, each has all of them.
    """
    errors = errors or (Raised,)
    first = PlacedInjection(None, files, errors[0], begins)
    attempt(first)
    places = first.places()
    assert places
    for at, place in enumerate(places):
        for error in errors if EACH_ERROR else [errors[at % len(errors)]]:
            attempt(PlacedInjection(place, files, error, begins))
    return len(places)
