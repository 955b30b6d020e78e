"""Options of the kernel's socket. They can be set before there is one: they are stored, and set then."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Self

from .connection import Connection


class Wishes(Connection):
    """The socket options of a connection."""

    def _start_wishing(self, options: Mapping[str, Any]) -> None:
        self._wishes: dict[str, tuple[int, int, int]] = {}
        self._wish(options)

    def _wish(self, options: Mapping[str, Any]) -> None:
        if options.get("noDelay"):
            self.setNoDelay(True)
        if options.get("keepAlive"):
            self.setKeepAlive(
                True,
                options.get("keepAliveInitialDelay", 0),
                options.get("keepAliveInterval", 0),
                options.get("keepAliveCount", 0),
            )

    def setNoDelay(self, noDelay: bool = True) -> Self:
        """Send small pieces at once (TCP_NODELAY). Stored until there is a connection. Never raises OSError."""
        return self._set_or_wish("noDelay", (socket.IPPROTO_TCP, socket.TCP_NODELAY, int(bool(noDelay))))

    def setKeepAlive(
        self,
        enable: bool | Mapping[str, Any] = False,
        initialDelay: float = 0,
        interval: float = 0,
        count: int = 0,
    ) -> Self:
        """Probe an idle connection (SO_KEEPALIVE): first after `initialDelay` ms, then every `interval` ms.

        After `count` probes without an answer, the connection ends. 0 keeps the system's value. Times are rounded up to
        whole seconds. Stored until there is a connection. The arguments may also be one dictionary.
        """
        if isinstance(enable, Mapping):
            return self.setKeepAlive(**{"enable": False, **enable})
        self._set_or_wish("keepAlive", (socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(bool(enable))))
        if enable:
            numbers = {"TCP_KEEPIDLE": -(-initialDelay // 1000), "TCP_KEEPINTVL": -(-interval // 1000)}
            for name, number in (*numbers.items(), ("TCP_KEEPCNT", count)):
                option = getattr(socket, name, None)
                if number > 0 and option is not None:
                    self._set_or_wish(name, (socket.IPPROTO_TCP, option, int(number)))
        return self

    def _set_or_wish(self, name: str, option: tuple[int, int, int]) -> Self:
        self._wishes[name] = option
        self._set(*option)
        return self

    def _set(self, level: int, option: int, value: int) -> None:
        tcp = self._tcp  # which another OS thread may close
        try:
            if tcp is not None and (level != socket.IPPROTO_TCP or tcp.family != "unix"):
                tcp.setsockopt(level, option, value)
        except OSError:
            pass  # the peer has gone: a read or write will report it

    def _fulfil_wishes(self) -> None:
        for wish in self._wishes.values():
            self._set(*wish)
