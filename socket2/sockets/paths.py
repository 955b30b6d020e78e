"""What a program wants of a UNIX path: who may connect, and whether the file is removed. Knows no sockets' operations.

Paths only: an abstract name has no file, so everybody in its network namespace can connect.
"""

from __future__ import annotations

import operator
import os
import socket
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import pollers

from ..threads.exiting import afterwards
from ..threads.scheduler import current_scheduler
from .address import Address, AddressList, Host
from .socket import Socket

Owner: TypeAlias = "int | str | tuple[int | str, int | str] | None"
Unlink: TypeAlias = Literal["own", "never"]

MODE: Final = 0o600
"""The rights of the file of a UNIX socket: only the user of this process can connect."""

_UNCHANGED = -1

_bound: weakref.WeakSet[Socket] = weakref.WeakSet()  # those whose close() removes a file


def _remove_files() -> None:
    """Remove the files of the sockets that are still open at the exit."""
    for sock in list(_bound):
        setup = sock._setup
        if setup is not None and setup.path is not None and not sock.closed:
            setup.path.remove()


afterwards.append(_remove_files)


class PathRules:
    """The rights and the owner of a UNIX path, and what becomes of it. `mode`, `owner`, `unlink`: as in listen().

    Raises ValueError, TypeError, LookupError (no such user or group).
    """

    __slots__ = ("mode", "owner", "removes")

    def __init__(self, mode: int | None = MODE, owner: Owner = None, unlink: Unlink = "own") -> None:
        if mode is not None and not 0 <= operator.index(mode) <= 0o777:
            raise ValueError(f"mode must be from 0 to 0o777, not {oct(mode)}")
        if unlink not in ("own", "never"):
            raise ValueError(f"unlink must be 'own' or 'never', not {unlink!r}")
        self.mode = mode
        self.owner = _ids(owner)
        self.removes = unlink == "own"


def _ids(owner: Owner) -> tuple[int, int]:
    """Return the numbers of a user and a group, -1 for one that is not to be changed."""
    if owner is None:
        return _UNCHANGED, _UNCHANGED
    if isinstance(owner, str):
        user, _, group = owner.partition(":")
        if not user and not group:
            raise ValueError(f"an owner must be 'user', 'user:group' or ':group', not {owner!r}")
        return _user(user) if user else _UNCHANGED, _group(group) if group else _UNCHANGED
    if isinstance(owner, tuple):
        if len(owner) != 2:
            raise ValueError(f"an owner must be a user, or a user and a group, not {owner!r}")
        return _user(owner[0]), _group(owner[1])
    return _user(owner), _UNCHANGED


def _user(user: int | str) -> int:
    if not isinstance(user, str):
        return operator.index(user)
    import pwd  # no such module on Windows

    return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid


def _group(group: int | str) -> int:
    if not isinstance(group, str):
        return operator.index(group)
    import grp

    return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid


def file_of(host: Host, family: str | None) -> str | bytes | None:
    """Return the path of a UNIX socket, None for an abstract name and for an internet address."""
    if isinstance(host, (Address, AddressList)):
        first = host.next() if isinstance(host, AddressList) else host
        family, host = (first.family, first.sockaddr) if first is not None else (None, None)
    if family != "unix" or not isinstance(host, (str, bytes)) or pollers.is_abstract(host):
        return None
    return host


def bind_to_file(sock: Socket, path: str | bytes, rules: PathRules, begin: Callable[[], Any]) -> None:
    """Bind to a path by the rules, and call `begin`. close() then removes the file. Raises as pollers.bind_path()."""
    std = sock.std
    probe = partial(current_scheduler().poller.socket, std.family, socket.SOCK_DGRAM, 0)
    try:
        bound = pollers.bind_path(std, path, rules.mode, rules.owner, probe, begin)
    except OSError as error:
        error.add_note(f"binding to {os.fsdecode(path)}")
        raise
    if rules.removes:
        sock._set_up().path = bound
        _bound.add(sock)


def check_no_file(rules: PathRules, host: object) -> None:
    """Raise ValueError if the rules ask for more than the defaults, but there is no file."""
    asked = {
        "an owner": rules.owner != (_UNCHANGED, _UNCHANGED),
        "a mode": rules.mode != MODE,
        "a file to leave": not rules.removes,
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise ValueError(f"only a UNIX path has {what}, not {host!r}")
