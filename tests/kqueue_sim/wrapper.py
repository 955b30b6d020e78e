"""select.kqueue: what CPython's selectmodule.c adds to the system call.

A kqueue object has only a descriptor; a table of this process says which kqueue that is. So an object
whose descriptor was closed behind its back closes whatever has the number now, as the real one does.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterable
from time import monotonic
from typing import Any, ClassVar

from .faults import Faults
from .kernel import Kernel
from .kevent import kevent

_INT_MAX = (1 << 31) - 1
_TIMEOUT_MAX_S = 2**63 / 1e9

_kernels: dict[int, Kernel] = {}
_objects: weakref.WeakSet[kqueue] = weakref.WeakSet()


class kqueue:
    """The base class of each simulator's kqueue class."""

    flavor: ClassVar[str] = "freebsd"
    faults: ClassVar[Faults] = Faults()

    def __init__(self) -> None:
        self._fd = -1
        if self.faults.no_kqueue:
            raise OSError(self.faults.no_kqueue, os.strerror(self.faults.no_kqueue))
        kernel = Kernel(self.flavor, self.faults)
        self._fd = kernel.fileno()
        _kernels[self._fd] = kernel
        _objects.add(self)

    @classmethod
    def fromfd(cls, fd: int, /) -> kqueue:
        made = cls.__new__(cls)
        made._fd = fd
        _objects.add(made)
        return made

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed kqueue object")
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        kernel = _kernels.pop(fd, None)
        if kernel is not None:
            kernel.close()
        elif fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass

    def __del__(self) -> None:
        self.close()

    def control(
        self, changelist: Iterable[Any] | None, maxevents: int, timeout: float | None = None, /
    ) -> list[kevent]:
        if maxevents > _INT_MAX:
            raise OverflowError("Python int too large to convert to C int")
        fd = self.fileno()
        if maxevents < 0:
            raise ValueError(f"Length of eventlist must be 0 or positive, got {maxevents}")
        _check_timeout(timeout)
        changes = _changes(changelist)
        deadline = None if timeout is None else monotonic() + timeout
        interruptions = int(self.faults.interrupted)
        while True:
            kernel = self._kernel(fd)
            entries = kernel.submit([change.copy() for change in changes], maxevents)
            if entries is not None or not maxevents:
                return entries or []
            if not interruptions:
                return kernel.scan(maxevents, deadline)
            interruptions -= 1  # EINTR: the changes have been applied, and are submitted again

    def _kernel(self, fd: int) -> Kernel:
        if fd not in _kernels:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return _kernels[fd]

    def sim_activate(self, ident: int, filter_: int) -> None:
        """Wake the knote without a reason."""
        self._kernel(self._fd).activate(ident, filter_)


def _check_timeout(timeout: Any) -> None:
    if timeout is None:
        return
    # CPython refuses inf, nan and values that overflow the clock with the same message as values that are not numbers.
    if not isinstance(timeout, (int, float)) or not abs(timeout) < _TIMEOUT_MAX_S:
        raise TypeError(f"timeout argument must be a number or None, got {type(timeout).__name__}")
    if timeout < 0:
        raise ValueError("timeout must be positive or None")


def _changes(changelist: Any) -> list[kevent]:
    try:
        changes = list(changelist if changelist is not None else ())
    except TypeError:
        raise TypeError("changelist is not iterable") from None
    if not all(isinstance(change, kevent) for change in changes):
        raise TypeError("changelist must be an iterable of select.kevent objects")
    return changes


def _after_fork_in_child() -> None:
    """A child does not inherit a kqueue."""
    for kernel in _kernels.values():
        kernel.abandon()
    _kernels.clear()
    for made in list(_objects):
        if made.faults.closed_by_fork:
            made._fd = -1


os.register_at_fork(after_in_child=_after_fork_in_child)
