"""The part of HTTP in C, if that was built: usual requests and answers, and which heads are well-formed.

It gets the classes and functions that it needs from the modules that define them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...threads.native import in_c

Method = TypeVar("Method", bound=Callable[..., Any])

compiled = in_c("_http")


class Compiled:
    """A checker in C."""

    __slots__ = ("check", "usual")

    def __init__(self, is_response: bool) -> None:
        assert compiled is not None
        self.check = compiled.is_response if is_response else compiled.is_request
        self.usual = None if is_response else compiled.request


def usually(method: Method) -> Method:
    """Decorate a method that C does in the usual case. In all others it calls the method."""
    return method if compiled is None else compiled.usually(method)


def learn(*known: type) -> None:
    """Let the part in C know classes, whose slots it reads and sets."""
    if compiled is not None:
        for each in known:
            compiled.learn(each)


def tell(**objects: object) -> None:
    """Let the part in C know objects by the names that it gives them."""
    if compiled is not None:
        for name, each in objects.items():
            compiled.tell(name, each)
