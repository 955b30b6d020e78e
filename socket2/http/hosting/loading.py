"""Loading an application by its name: "module:attribute". What is wrong with it becomes one clear error."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["wsgi", "asgi"]

# What the attribute is called if the name does not say it.
_USUAL = ("app", "application")


class LoadError(ValueError):
    """There is no such application. If its own code has failed, the message ends with the traceback of that."""


def load(name: str, *, factory: bool = False) -> Any:
    """Return the application `name`: "module:attribute", or "module" for its `app` or `application`.

    `factory`: the attribute is a function that returns the application. Modules in the current directory are found,
    too. Raises LoadError.
    """
    module_name, _, path = name.partition(":")
    found: Any = _module(module_name)
    for attribute in path.split(".") if path else [_usual(found)]:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise LoadError(f"{module_name} has no attribute {path or attribute!r}") from None
    if not callable(found):
        raise LoadError(f"{name} is no application: {found!r} cannot be called")
    if factory:
        try:
            found = found()
        except Exception as error:
            raise LoadError(f"{name}() has failed:\n{_own_traceback(error)}") from None
        if not callable(found):
            raise LoadError(f"{name}() has returned no application: {found!r} cannot be called")
    return found


def _module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(f"{name!r} is not the name of a module")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise LoadError(f"there is no module {error.name}") from None
        raise LoadError(f"{name} cannot be imported:\n{_own_traceback(error)}") from None
    except Exception as error:
        raise LoadError(f"{name} cannot be imported:\n{_own_traceback(error)}") from None


def _usual(module: ModuleType) -> str:
    for attribute in _USUAL:
        if hasattr(module, attribute):
            return attribute
    raise LoadError(f"{module.__name__} has neither app nor application: name it, as in {module.__name__}:main")


def _own_traceback(error: BaseException) -> str:
    """Return the traceback of an error from the application's own code on, without ours and that of imports."""
    at = error.__traceback__
    while at is not None and (
        at.tb_frame.f_code.co_filename == __file__ or "importlib" in at.tb_frame.f_code.co_filename
    ):
        at = at.tb_next
    return "".join(traceback.format_exception(error.with_traceback(at))).rstrip()


def kind_of(app: Any) -> Kind:
    """Return which interface an application has. Raises LoadError if that cannot be seen."""
    if _is_async(app):
        return "asgi"
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    wanted = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in wanted if one.default is one.empty]
    if len(needed) <= 2 == len(wanted):
        return "wsgi"
    if len(needed) <= 3 == len(wanted):
        return "asgi"
    raise LoadError(f"it cannot be seen whether {app!r} is a WSGI or an ASGI application: say --wsgi or --asgi")


def _is_async(app: Callable[..., Any]) -> bool:
    while isinstance(app, partial):
        app = app.func
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(type(app), "__call__", None))  # noqa: B004
