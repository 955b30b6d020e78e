"""Reports an operation that nobody has awaited: a `yield from` or an `await` was forgotten.

The parts in C call report() when the last reference to an operation goes away before its first step. They do not if
the garbage collector has found it, or while an exception leaves the frame that held it. Without the parts in C this
would cost 5 to 7 % of an echo, so only SOCKET2_CHECK=1 reports it then.
This module knows CPython's frames and instructions. It must not know sockets, threads, or how operations run.
"""

from __future__ import annotations

import sys
import warnings
from opcode import opname
from types import CodeType, GeneratorType
from typing import Any

OURS = ("pollers", "socket2")
MISSING = "is a `yield from` or an `await` missing?"

# The instructions that drop the value of an expression, so that the operation was made or returned in their line.
_DISCARDS = ("FORMAT_", "JUMP_IF_", "POP_JUMP_", "POP_TOP", "TO_BOOL", "UNARY_NOT")

# The instructions that load a function or method which is then called.
_NAMES = ("LOAD_ATTR", "LOAD_DEREF", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_METHOD", "LOAD_NAME")

# The instructions of `del op`, and of the end of an `except` block or `with` statement. The latter drop an exception,
# and with it the frames that it has left. `op = None` and the end of `except Error as error` look the same, too.
_DELIBERATE = (
    "CALL_INTRINSIC_2",
    "CHECK_E",
    "CLEANUP_",
    "DELETE_",
    "POP_EXCEPT",
    "PREP_RERAISE",
    "RERAISE",
    "WITH_EXC",
)
_IN_HANDLERS = ("COPY", "POP_EXCEPT", "POP_TOP", "SWAP")


def report(op: Any, name: str) -> None:
    """Warn that the operation `op` was dropped before its first step, by the code that is running now."""
    frame = sys._getframe().f_back
    if sys.is_finalizing() or frame is None or _is_ours(frame.f_globals.get("__name__")):
        return  # what this package drops itself was not forgotten by its user
    code = frame.f_code
    by, before = _instructions(code, frame.f_lasti)
    if by.startswith(_DELIBERATE) or (by.startswith("STORE_") and before == "LOAD_CONST"):
        return
    if by == "POP_TOP" and before.startswith(_IN_HANDLERS):
        return
    name = name.rpartition(".")[2].lstrip("_")  # its class may be an inner one
    line = frame.f_lineno or _line_before(code, frame.f_lasti)
    place = f"{code.co_filename}:{line}"
    if by.startswith(_DISCARDS):
        told = f"operation {_called_at(code, frame.f_lasti, name)} at {place} was never awaited: {MISSING}"
        source = None
    else:
        told = f"operation {name} was never awaited, and was dropped at {place}: {MISSING}"
        source = op  # tracemalloc knows where it was made
    warnings.warn_explicit(
        told,
        RuntimeWarning,
        code.co_filename,
        line,
        module=str(frame.f_globals.get("__name__")),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
        source=source,
    )


def _line_before(code: CodeType, at: int) -> int:
    """Return the line of the instruction before `at` that has one. A jump back to the head of a loop has none."""
    lines = [line for start, _, line in code.co_lines() if start <= at and line is not None]
    return lines[-1] if lines else code.co_firstlineno


def excuse_arguments(steps: GeneratorType[Any, Any, Any]) -> None:
    """Do not report the operations among the arguments of a generator that has not begun: it would await them."""
    frame = steps.gi_frame
    for value in frame.f_locals.values() if frame is not None else ():
        for inner in value if type(value) is tuple else (value,):
            if _is_ours(type(inner).__module__) and hasattr(type(inner), "excuse"):
                inner.excuse()


def _is_ours(module: object) -> bool:
    return str(module).partition(".")[0] in OURS


def _instructions(code: CodeType, at: int) -> tuple[str, str]:
    """Return the names of the instruction at byte `at`, and of the one before it; "" if there is none."""
    names = [name for name in map(opname.__getitem__, code.co_code[: at + 2 : 2]) if name != "CACHE"]
    return names[-1] if names else "", names[-2] if len(names) > 1 else ""


def _called_at(code: CodeType, at: int, name: str) -> str:
    """Return the name of the function or method whose result the instruction at byte `at` drops.

    A public function may return an operation that has another `name`. Returns `name` if the code has no positions.
    """
    import dis  # slow to import

    known = [one for one in dis.get_instructions(code) if one.offset < at and one.positions is not None]
    while known and not known[-1].opname.startswith("CALL"):
        known.pop()
    place = [one.positions for one in known if one.positions is not None]
    if not place or place[-1].col_offset is None:
        return name
    begin = place[-1].lineno, place[-1].col_offset  # where the call begins, and so the name of its function
    names = [
        ((where.end_lineno, where.end_col_offset), one.argval)
        for one, where in zip(known, place, strict=True)
        if one.opname.startswith(_NAMES) and (where.lineno, where.col_offset) == begin
    ]
    return str(max(names)[1]) if names else name
