"""Pollers wait for operations on many sockets at once. There is one class for each of epoll, kqueue, poll and IOCP.

This package knows sockets, operations on them and the operating system. It must not know socket2, coroutines or timers.
Read `operation` first: it is the contract. Then read the subpackages. `readiness` implements the contract in Python for
most systems, `native/` in C for Linux, and `windows` for Windows. `checked` reports callers that break it. All pollers
share `decorator`, `once` and `lock`. Each other module answers one question that systems answer differently.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Final

from .closing import close, close_descriptors, closer_of
from .control import Control, PacketInfo, control_of, packet_info_of, tos_of, ttl_of
from .credentials import peer_uid
from .decorator import CHECKING
from .disconnect import disconnect
from .foreign import Foreign
from .lock import leakproof, lock
from .multicast import Interface, group_call
from .nowait import Access
from .operation import (
    STREAK_MAX,
    Address,
    Busy,
    Cancelled,
    Closed,
    Direction,
    Exhausted,
    Handle,
    Operation,
    Poller,
    Stats,
    bytes_sent,
    end_of_stream,
)
from .options import OPTIONS, get_option, option_call, prepare_listener
from .paths import BoundPath, bind_path, is_abstract, remove_stale
from .probe import hung_up, ready
from .readiness.attempts import NOSIGNAL
from .readiness.messages import (
    check_messages,
    receive_descriptors,
    receive_message,
    send_descriptors,
    send_message,
)
from .unbound import adopt, local_address
from .unique import Unique

# isort: split
from .decorator import operation  # last: pyright takes `from .operation import` for an import of that module, too

__all__ = [
    "CHECKING",
    "NOSIGNAL",
    "OPTIONS",
    "STREAK_MAX",
    "Access",
    "Address",
    "BoundPath",
    "Busy",
    "Cancelled",
    "Closed",
    "Control",
    "Direction",
    "Exhausted",
    "Foreign",
    "Handle",
    "Interface",
    "Operation",
    "PacketInfo",
    "Poller",
    "Stats",
    "Unique",
    "adopt",
    "available",
    "bind_path",
    "bytes_sent",
    "check_messages",
    "choose",
    "close",
    "close_descriptors",
    "closer_of",
    "control_of",
    "disconnect",
    "end_of_stream",
    "get_option",
    "group_call",
    "hung_up",
    "is_abstract",
    "leakproof",
    "local_address",
    "lock",
    "native_status",
    "operation",
    "option_call",
    "packet_info_of",
    "peer_uid",
    "prepare_listener",
    "ready",
    "receive_descriptors",
    "receive_message",
    "register",
    "remove_stale",
    "send_descriptors",
    "send_message",
    "tos_of",
    "ttl_of",
]

SIMULATED: Final = "simulated"
"""The name of the poller over a kernel in memory, which every system has. available() does not list it."""

_factories: dict[str, Callable[[], Poller]] = {}


def register(name: str, factory: Callable[[], Poller]) -> None:
    """Register a poller as `name`, after those that are registered. `factory()` makes a new one, or raises OSError.

    Raises ValueError if the name is taken.
    """
    if name in _factories:
        raise ValueError(f"a poller named {name!r} is registered already")
    _factories[name] = factory


def available() -> list[str]:
    """Return the names of the pollers that this system has, the preferred one first."""
    return list(_factories)


def choose(name: str | None = None, *, checked: bool | None = None) -> Poller:
    """Make a poller: the one called `name`, else the one that SOCKET2_POLLER names, else the first that works.

    "simulated" is over a kernel in memory with one host: its sockets connect only to each other, within this process.

    `checked` wraps it in the checking poller, which is slower and reports where it was misused. By default this depends
    on SOCKET2_CHECK=1 in the environment.
    Raises ValueError if this system has no poller of that name, OSError if the kernel has no descriptor or memory left.
    """
    poller = _make(name or os.environ.get("SOCKET2_POLLER") or None)
    if checked if checked is not None else CHECKING:
        from .checked.checking import Checked

        return Checked(poller)
    return poller


def _make(name: str | None) -> Poller:
    if name == SIMULATED:
        from .simulated.loopback import here  # never chosen by itself, and few programs need it

        return here().poller()
    if name is not None:
        if name not in _factories:
            raise ValueError(f"this system has no poller {name!r}: it has {', '.join(_factories)}")
        return _factories[name]()
    refused: OSError | None = None
    for factory in _factories.values():
        try:
            return factory()
        except OSError as error:
            refused = refused or error
    raise refused or OSError("no poller is registered")


def native_status() -> str:
    """Return "yes" if the native poller can be used, else "no" and the reason, for people."""
    return _native_status


def _probe_native() -> str:
    if os.environ.get("SOCKET2_NATIVE") == "0":
        return "no (switched off by SOCKET2_NATIVE=0)"
    if not hasattr(importlib.import_module("select"), "epoll"):
        return "no (it needs epoll)"
    try:
        native = importlib.import_module("._native", __name__)
    except ModuleNotFoundError:
        return "no (not built: this needs a C compiler and Python's headers when the package is installed)"
    except ImportError as error:
        return f"no (it cannot be loaded: {error})"
    register("native", native.Native)
    return "yes"


def _probe() -> None:
    if sys.platform == "win32":
        from .windows.iocp import Iocp

        register("iocp", Iocp)
    for name, needs, attribute in (
        ("epoll", "epoll", "Epoll"),
        ("kqueue", "kqueue", "Kqueue"),
        ("select", "select", "Select"),
    ):
        if hasattr(importlib.import_module("select"), needs):
            module = importlib.import_module(f".readiness.{name}", __name__)
            register(name, getattr(module, attribute))


_native_status = _probe_native()
_probe()
