"""asyncio's event loop over a poller.

It is asyncio's own selector loop, whose selector waits in the poller and whose stream transports are on handles. So
everything else is asyncio's, and behaves as there. Must not know how a transport receives, or what an epoll is.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import events, futures, sslproto
from collections.abc import Callable
from typing import Any

import pollers
from pollers import Poller

from .selector import PollerSelector, check_system
from .transport import StreamTransport

_Base: Any = asyncio.SelectorEventLoop

_FAMILIES = (socket.AF_INET, getattr(socket, "AF_INET6", None), getattr(socket, "AF_UNIX", None))


class EventLoop(_Base):  # type: ignore[misc]
    """An event loop of asyncio that waits in a poller of ours."""

    def __init__(self, poller: Poller | None = None) -> None:
        check_system()
        self._poller = poller if poller is not None else pollers.choose()
        self._owns_poller = poller is None
        super().__init__(PollerSelector(self._poller, self._deliver))

    def time(self) -> float:
        """Return the time of the poller's clock, which is time.monotonic() if the poller waits in the kernel."""
        return self._poller.now()

    def close(self) -> None:
        if self.is_running() or self.is_closed():
            super().close()
            return
        for transport in list(self._transports.values()):
            if isinstance(transport, StreamTransport):
                transport.forget()
        super().close()
        if self._owns_poller:
            self._poller.shutdown()

    def _write_to_self(self) -> None:
        try:
            self._poller.wakeup()
        except RuntimeError:
            pass  # it has been shut down meanwhile

    def _deliver(self, waiters: list[Any]) -> None:
        """Call what the poller has returned. If one raises SystemExit or the like, the next turn calls the others."""
        if self._debug:  # which reports slow ones
            for waiter in waiters:
                self._add_callback(events.Handle(waiter, (), self, None))
            return
        rest = iter(waiters)
        try:
            for waiter in rest:
                try:
                    waiter()
                except Exception as error:
                    self.call_exception_handler({"message": f"Exception in callback {waiter!r}", "exception": error})
        except BaseException:
            for waiter in rest:
                self.call_soon(waiter)
            raise

    # Connections.

    def _make_socket_transport(
        self,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        *,
        extra: Any = None,
        server: Any = None,
        **more: Any,
    ) -> Any:
        if not isinstance(sock, socket.socket) or sock.family not in _FAMILIES or sock.type != socket.SOCK_STREAM:
            return super()._make_socket_transport(sock, protocol, waiter, extra=extra, server=server, **more)
        self._ensure_fd_no_transport(sock)
        if sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return StreamTransport(self, self._poller.attach(sock), protocol, waiter, extra, server)

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        context: Any = None,
        **times: Any,
    ) -> Any:
        self._ensure_fd_no_transport(rawsock)
        layer = sslproto.SSLProtocol(self, protocol, sslcontext, waiter, server_side, server_hostname, **times)
        self._make_socket_transport(rawsock, layer, extra=extra, server=server)
        return layer._app_transport

    def _start_serving(self, protocol_factory: Any, sock: socket.socket, *more: Any, **options: Any) -> None:
        if sock.fileno() >= 0:  # it may be closed before asyncio tries again after EMFILE
            super()._start_serving(protocol_factory, sock, *more, **options)

    # A receive that is made by the task itself cannot be lost if the task is cancelled.

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        return await self._receive(sock, sock.recv, n)  # type: ignore[no-any-return]

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        return await self._receive(sock, sock.recv_into, buf)  # type: ignore[no-any-return]

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        return await self._receive(sock, sock.recvfrom, bufsize)  # type: ignore[no-any-return]

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        return await self._receive(sock, sock.recvfrom_into, buf, nbytes or len(buf))  # type: ignore[no-any-return]

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        conn, address = await self._receive(sock, sock.accept)
        conn.setblocking(False)
        return conn, address

    async def _receive(self, sock: Any, attempt: Callable[..., Any], *args: Any) -> Any:
        vars(asyncio.base_events)["_check_ssl_socket"](sock)
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        while True:
            try:
                return attempt(*args)
            except (BlockingIOError, InterruptedError):
                await self._readable(sock.fileno())

    async def _readable(self, fd: int) -> None:
        self._ensure_fd_no_transport(fd)
        future = self.create_future()
        reader = self._add_reader(fd, vars(futures)["_set_result_unless_cancelled"], future, None)
        try:
            await future
        finally:
            if not reader.cancelled():
                self._remove_reader(fd)
