"""Names that end with .invalid, which no machine knows (RFC 6761): they fail at once, with any resolver.

Otherwise a resolver could answer "temporary failure", or not answer at all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import wraps
from typing import Any

_ASKED_BY_NAME = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")


def _knowing_better(ask: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(ask)
    def asking(host: Any = None, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("latin-1") if isinstance(host, bytes) else host
        if isinstance(name, str) and name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *args, **kwargs)

    return asking


def never_ask_for_invalid_names() -> None:
    for name in _ASKED_BY_NAME:
        setattr(socket, name, _knowing_better(getattr(socket, name)))
