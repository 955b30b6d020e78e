"""Finds where a program calls socket2 and a type is Any: what the call returns, awaits or takes, or an attribute.

Uses the types that mypy infers. `Generator[Any, Any, T]` and `Coroutine[Any, Any, T]` count as T: what a thread yields
to the loop is nobody's business.
"""

from __future__ import annotations

from pathlib import Path

from mypy import build
from mypy.main import process_options
from mypy.nodes import CallExpr, Expression, MemberExpr, MypyFile, RefExpr
from mypy.server.subexpr import get_subexpressions
from mypy.types import (
    AnyType,
    CallableType,
    Instance,
    Overloaded,
    TupleType,
    Type,
    TypeOfAny,
    TypeType,
    UnionType,
    get_proper_type,
)

from ..interop.peers import ROOT

OURS = ("socket2.", "pollers.")
UNKNOWABLE = {"socket2.threads.sleeping.suspend"}  # it returns what resume() was given


def has_any(found: Type) -> bool:
    """Whether a type has an Any in it that somebody wrote, or that comes from something untyped."""
    proper = get_proper_type(found)
    if isinstance(proper, AnyType):
        return proper.type_of_any != TypeOfAny.special_form
    if isinstance(proper, Instance):
        only_result = proper.type.fullname in ("typing.Generator", "typing.Coroutine")
        return any(map(has_any, proper.args[-1:] if only_result else proper.args))
    if isinstance(proper, TupleType | UnionType):
        return any(map(has_any, proper.items))
    return False


class _File:
    """One file: how often it calls something of ours, and the places where that has a type with Any."""

    def __init__(self, tree: MypyFile, types: dict[Expression, Type]) -> None:
        self._types = types
        self._name = Path(tree.path).name
        self.places: list[str] = []
        self.calls = 0
        for expression in get_subexpressions(tree):
            if isinstance(expression, CallExpr) and self._is_ours(expression.callee):
                self.calls += 1
                self._check_call(expression)
            elif isinstance(expression, MemberExpr) and self._owner_is_ours(expression):
                found = get_proper_type(types.get(expression))
                if not isinstance(found, CallableType | Overloaded):
                    self._check(repr(expression.name), expression, found)

    def _check(self, what: str, at: Expression, found: Type | None) -> None:
        if found is not None and has_any(found):
            self.places.append(f"{self._name}:{at.line}: {what} is {found}")

    def _check_call(self, call: CallExpr) -> None:
        self._check("the result", call, self._types.get(call))
        for argument in call.args:
            found = get_proper_type(self._types.get(argument))
            if isinstance(found, CallableType):
                self._check("what an argument returns", argument, found.ret_type)
            else:
                self._check("an argument", argument, found)

    def _is_ours(self, callee: Expression) -> bool:
        if isinstance(callee, MemberExpr) and self._owner_is_ours(callee):
            return True
        if not isinstance(callee, RefExpr) or callee.fullname in UNKNOWABLE:
            return False
        return callee.fullname.startswith(OURS)

    def _owner_is_ours(self, member: MemberExpr) -> bool:
        owner = get_proper_type(self._types.get(member.expr))
        if isinstance(owner, TypeType):
            owner = owner.item
        items = [get_proper_type(item) for item in (owner.items if isinstance(owner, UnionType) else [owner]) if item]
        return any(isinstance(item, Instance) and _is_of_ours(item, member.name) for item in items)


def _is_of_ours(owner: Instance, name: str) -> bool:
    """Whether one of our classes has the attribute, and not a class of the program that inherits from it."""
    holder = owner.type.get_containing_type_info(name)
    return holder is not None and holder.fullname.startswith(OURS)


def places_of_any(paths: list[Path]) -> tuple[list[str], dict[str, int]]:
    """Return mypy's errors and the places where something of ours is Any, and how often each file calls ours."""
    config = ["--strict", "--config-file", str(ROOT / "pyproject.toml"), "--no-incremental"]
    sources, options = process_options([*config, *map(str, paths)])
    options.export_types = options.preserve_asts = True
    options.fine_grained_incremental = False
    result = build.build(sources, options, alt_lib_path=str(ROOT))
    places = list(result.errors)
    calls = {}
    for source in sources:
        tree = result.files[source.module]
        found = _File(tree, result.types)
        places += found.places
        calls[Path(tree.path).name] = found.calls
    return places, calls
