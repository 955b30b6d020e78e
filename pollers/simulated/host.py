"""A host of the simulated network: its addresses, its descriptors, its ports, and its end.

It knows which socket has which number and which port. What a socket does is in the modules of the protocols.
"""

from __future__ import annotations

import errno
from heapq import heapify, heappop, heappush
from typing import Any

from ..checked.checking import Checked
from ..operation import Poller, system_error
from .description import Description
from .link import Link
from .pairs import pair
from .poller import Simulated
from .ports import Ports
from .sock import Sock
from .surroundings import Network
from .unix import Paths

# No descriptor of the real kernel has such a number, so the two are never mixed up.
FIRST_DESCRIPTOR = 1_000_000

LOOPBACK, LOOPBACK6 = "127.0.0.1", "::1"


class Host:
    """Made by World.host()."""

    def __init__(self, world: Network, number: int, addresses: list[str], name: str) -> None:
        self.world = world
        self.number = number
        self.name = name
        self.addresses = addresses
        self.up = True
        """False after crash(), until restart()."""
        self.descriptors_max = 1024
        """How many descriptors may be open. One more is EMFILE."""
        self.wall_shift_s = 0.0
        """How far the host's date is ahead of the world's. Its monotonic clock is the world's."""
        self.pid, self.uid, self.gid = 1000 + number, 0, 0
        self.paths: Paths = Paths()
        """The files of its UNIX sockets, and its abstract names. They survive a crash, as files do."""
        self.descriptors: dict[int, Description] = {}
        self.ports = Ports(self)
        self.loop = Link(name, name, world.random)
        """The loopback interface."""
        self.boots = 0
        self._next_descriptor = FIRST_DESCRIPTOR
        self._free: list[int] = []

    # What a program does here.

    def poller(self, *, check: bool = False) -> Poller:
        """Make a poller for the sockets of this host; `check`: a checked one."""
        made: Any = Simulated(self)
        return Checked(made) if check else made

    def socket(self, family: int, type: int, proto: int = 0, /) -> Any:
        """Make a socket, non-blocking once a poller has it. It has the interface of socket.socket. socket(2)."""
        return Sock(family, type, proto, host=self)

    def socketpair(self, family: int, type: int, proto: int = 0, /) -> tuple[Any, Any]:
        """Make two connected sockets, of an internet family too. socketpair(2)."""
        return pair(self, family, type, proto)

    def wall_s(self) -> float:
        """Return the date that this host's clock says, in seconds since 1970."""
        return self.world.wall_s() + self.wall_shift_s

    # What happens to it.

    def crash(self) -> None:
        """Lose power: no socket sends another packet, and what arrives here is lost until restart()."""
        self.up = False
        for description in list(self.descriptors.values()):
            description.vanish()
        self.descriptors.clear()
        self.ports = Ports(self)
        self._free.clear()  # an old socket object must not meet a new socket

    def restart(self) -> None:
        """Come up again, without any socket. Packets of old connections are answered with a reset."""
        self.up = True
        self.boots += 1

    def cut(self) -> None:
        """Lose all packets from and to other hosts, until mend()."""
        self._set_links(False)

    def mend(self) -> None:
        """Undo cut()."""
        self._set_links(True)

    def _set_links(self, up: bool) -> None:
        for other in self.world.hosts:
            if other is not self:
                self.world.link(self, other).up = self.world.link(other, self).up = up

    # Descriptors.

    def add(self, description: Description) -> int:
        """Give the description a descriptor. Raises OSError (EMFILE)."""
        if len(self.descriptors) >= self.descriptors_max:
            raise system_error(errno.EMFILE)
        if self._free:
            fd = heappop(self._free)
        else:
            fd = self._next_descriptor
            self._next_descriptor += 1
        self.descriptors[fd] = description
        description.references += 1
        return fd

    def add_as(self, description: Description, fd: int) -> None:
        """Give the description the free descriptor `fd`, as dup2(2) does."""
        if fd in self._free:
            self._free.remove(fd)
            heapify(self._free)
        self.descriptors[fd] = description
        description.references += 1

    def get(self, fd: int) -> Description:
        """Return what a descriptor refers to. Raises OSError (EBADF)."""
        try:
            return self.descriptors[fd]
        except KeyError:
            raise system_error(errno.EBADF) from None

    def close(self, fd: int) -> None:
        """Close a descriptor. close(2). Raises OSError (EBADF)."""
        with self.world.lock:
            description = self.get(fd)
            del self.descriptors[fd]
            heappush(self._free, fd)
            description.release()

    # Addresses.

    def has(self, ip: str) -> bool:
        """Return whether packets to this address come to this host, and whether one can bind to it."""
        return ip in self.addresses or ip.startswith("127.") or ip == LOOPBACK6

    def source_for(self, ip: str) -> str | None:
        """Return the address from which to reach `ip`, None if there is no way (ENETUNREACH)."""
        six = ":" in ip
        if ip.startswith("127.") or ip in (LOOPBACK, LOOPBACK6):
            return LOOPBACK6 if six else LOOPBACK
        if ip in self.addresses:
            return ip
        return next((mine for mine in self.addresses if (":" in mine) == six), None)

    def way_to(self, ip: str) -> tuple[Host | None, Link | None]:
        """Return the host that has `ip`, as seen from here, and the link to it. None: nobody has it."""
        if self.has(ip):
            return self, self.loop
        target = self.world.find(ip)
        return target, None if target is None else self.world.link(self, target)

    def __repr__(self) -> str:
        return f"<host {self.name}{'' if self.up else ', down'}>"
